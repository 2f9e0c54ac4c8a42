#include "daemon/places.hpp"

#include "provider/file.hpp"

#include <cerrno>
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

}  // namespace

void make_places(const Config& config, const Readers& readers) {
    // Given anew each time: there may be another reader since.
    if (make(config.stats) || (!config.stats.empty() && is_mine(config.stats)))
        readers.allow_writing(config.stats);
    if (const auto tokens = softhsm_tokens_directory(config.module_config); make(tokens))
        readers.allow_entering(tokens);
    make(config.remake_pins);
}

}  // namespace stek::daemon
