#include "daemon/fleet/bundle_store.hpp"

#include "provider/file.hpp"

#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <sys/stat.h>

namespace stek::fleet {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view pending_suffix = ".pending";

template <class Number>
bool parse_whole(std::string_view text, Number& number) noexcept {
    const auto* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    return error == std::errc() && stop == end;
}

void sync_directory(const std::string& directory) {
    const Fd opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened || ::fsync(opened.get()) != 0)
        throw_errno("cannot sync", directory);
}

std::vector<std::uint8_t> read_frame(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in)
        throw_errno("cannot read", path);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace

std::string engine_key(daemon::KeyId key) {
    return std::to_string(key.epoch) + "." + std::to_string(key.revision);
}

std::optional<daemon::KeyId> parse_engine_key(std::string_view text) noexcept {
    const auto dot = text.find('.');
    daemon::KeyId key;
    if (dot == std::string_view::npos || !parse_whole(text.substr(0, dot), key.epoch) ||
        !parse_whole(text.substr(dot + 1), key.revision) || engine_key(key) != text)
        return {};
    return key;
}

BundleStore::BundleStore(const std::string& directory) : directory_(directory + "/bundles") {
    if (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST)
        throw_errno("cannot make", directory_);
    for (const auto& entry : fs::directory_iterator(directory_)) {
        auto name = entry.path().filename().string();
        const bool pending = name.ends_with(pending_suffix);
        if (pending)
            name.resize(name.size() - pending_suffix.size());
        const auto key = parse_engine_key(name);
        if (!key || !entry.is_regular_file() || entry.file_size() > largest_frame(Kind::bundle))
            continue;
        // A kill between settling and forgetting what was pending leaves both.
        if (!pending || !held_.contains(*key))
            held_[*key] = {pending ? State::pending : State::settled, read_frame(entry.path())};
    }
}

const BundleStore::Held* BundleStore::find(daemon::KeyId key) const noexcept {
    const auto found = held_.find(key);
    return found == held_.end() ? nullptr : &found->second;
}

void BundleStore::keep(daemon::KeyId key, Bytes frame, State state) {
    const auto path = path_of(key, state);
    replace_file(path, frame, [&](int fd) {
        if (::fchmod(fd, 0600) != 0)
            throw_errno("cannot set the mode of", path);
    });
    if (state == State::settled)
        fs::remove(path_of(key, State::pending));
    sync_directory(directory_);
    held_[key] = {state, {frame.begin(), frame.end()}};
}

void BundleStore::drop(daemon::KeyId key) {
    for (const auto state : {State::pending, State::settled})
        fs::remove(path_of(key, state));
    held_.erase(key);
}

std::string BundleStore::path_of(daemon::KeyId key, State state) const {
    return directory_ + "/" + engine_key(key) + (state == State::pending ? std::string(pending_suffix) : "");
}

}  // namespace stek::fleet
