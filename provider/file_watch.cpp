#include "provider/file_watch.hpp"

#include <filesystem>

#include <sys/inotify.h>
#include <sys/stat.h>

namespace stek {

FileWatch::FileWatch(const std::string& path)
    : path_(path),
      directory_(std::filesystem::path(path).parent_path()),
      inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {}

bool FileWatch::stands() noexcept {
    struct stat status {};
    if (::lstat(path_.c_str(), &status) == 0 && S_ISLNK(status.st_mode))
        return false;  // what it points to may change elsewhere
    if (watched_ < 0)
        watched_ = ::inotify_add_watch(inotify_.get(), directory_.c_str(),
                                       IN_ONLYDIR | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE |
                                           IN_DELETE_SELF | IN_MOVE_SELF);
    return watched_ >= 0;
}

void FileWatch::take_events() noexcept {
    alignas(inotify_event) char events[4096];
    for (ssize_t size = 0; (size = ::read(inotify_.get(), events, sizeof events)) > 0;) {
        for (const char* at = events; at < events + size;) {
            const auto* event = reinterpret_cast<const inotify_event*>(at);
            at += sizeof(inotify_event) + event->len;
            if ((event->mask & IN_MOVE_SELF) != 0)
                ::inotify_rm_watch(inotify_.get(), event->wd);  // another may be in its place
            if ((event->mask & (IN_MOVE_SELF | IN_IGNORED)) != 0 && event->wd == watched_)
                watched_ = -1;
        }
    }
}

}  // namespace stek
