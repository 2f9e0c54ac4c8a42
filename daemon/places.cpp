#include "daemon/places.hpp"

#include "provider/file.hpp"

#include <cerrno>
#include <filesystem>
#include <unistd.h>

#include <sys/stat.h>

namespace stek::daemon {
namespace {

/// True if it was not there.
bool make(const std::string& directory) {
    if (directory.empty())
        return false;
    if (::mkdir(directory.c_str(), 0700) == 0)
        return true;
    if (errno != EEXIST)
        throw_errno("cannot make", directory);
    return false;
}

bool is_mine(const std::string& directory) {
    struct stat status {};
    return ::stat(directory.c_str(), &status) == 0 && status.st_uid == ::geteuid();
}

/// Not a directory that others keep their tokens in: beside the state (`stekctl init --dir`) or the ring.
bool is_of_this_instance(const std::string& tokens, const Config& config) {
    const auto place = std::filesystem::path(tokens).parent_path();
    return place == std::filesystem::path(config.state).parent_path() ||
           place == std::filesystem::path(config.keyring).parent_path();
}

}  // namespace

void make_places(const Config& config, const Readers& readers) {
    // Given anew each time: there may be another reader since.
    if (make(config.stats) || (!config.stats.empty() && is_mine(config.stats)))
        readers.allow_writing(config.stats);
    const auto tokens = softhsm_tokens_directory(config.module_config);
    if (make(tokens) || (is_mine(tokens) && is_of_this_instance(tokens, config)))
        readers.allow_entering(tokens);
    make(config.remake_pins);
}

}  // namespace stek::daemon
