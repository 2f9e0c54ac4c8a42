#include "daemon/fleet/directory_watch.hpp"

#include "daemon/fleet/directory_parts.hpp"

#include <cerrno>

#include <sys/inotify.h>

namespace stek::fleet {
namespace {

// Of the root too, its entries: a bucket's own IN_DELETE_SELF waits for the last who has it open.
constexpr std::uint32_t of_entries = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE;
constexpr std::uint32_t of_itself = IN_DELETE_SELF | IN_MOVE_SELF;

/// -1 if there is no such directory.
int add_watch(int inotify, const std::string& path, std::uint32_t mask) {
    const int watch = ::inotify_add_watch(inotify, path.c_str(), mask | IN_ONLYDIR);
    if (watch >= 0 || errno == ENOENT)
        return watch;
    // Its limit reads like a full disk.
    throw_errno(errno == ENOSPC ? "fs.inotify.max_user_watches are in use, cannot watch" : "cannot watch",
                path);
}

}  // namespace

DirectoryWatch::DirectoryWatch(const std::string& root, const std::string& bucket)
    : root_(root), bucket_(root + "/" + bucket), inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    with_engine_errors([this] {
        if (!inotify_)
            throw_errno("no inotify (fs.inotify.max_user_instances) for", root_);
        watch_both();
    });
}

bool DirectoryWatch::clear() {
    alignas(inotify_event) char events[4096];
    while (::read(inotify_.get(), events, sizeof events) > 0) {
    }
    // What the events say is not worth reading: to watch again what is watched already changes nothing, and
    // whatever took its place is found.
    with_engine_errors([this] { watch_both(); });
    return true;
}

// The root first: what comes in it from now on is told.
void DirectoryWatch::watch_both() {
    follow(root_watch_, add_watch(inotify_.get(), root_, of_entries | of_itself));
    if (root_watch_ < 0)
        throw_errno("cannot watch", root_);
    follow(bucket_watch_, add_watch(inotify_.get(), bucket_, of_entries | IN_DONT_FOLLOW));
}

void DirectoryWatch::follow(int& watched, int found) const noexcept {
    const int error = errno;
    // Moved away rather than removed, the old one would go on telling.
    if (watched >= 0 && watched != found)
        ::inotify_rm_watch(inotify_.get(), watched);
    watched = found;
    errno = error;
}

}  // namespace stek::fleet
