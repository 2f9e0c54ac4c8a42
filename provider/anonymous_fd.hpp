// Descriptors in a process whose program does not know of them.
#pragma once

#include <unistd.h>

#include <sys/stat.h>

namespace stek {

/// Owns a descriptor of inotify, timerfd or eventfd, or none (-1). Servers close descriptors that they do not
/// know when they go to the background, and then the number may be a client's connection: it is neither used
/// nor closed.
class AnonymousFd {
  public:
    explicit AnonymousFd(int fd) noexcept : fd_(fd) {}
    AnonymousFd(const AnonymousFd&) = delete;
    AnonymousFd& operator=(const AnonymousFd&) = delete;
    ~AnonymousFd() {
        if (const int ours = get(); ours >= 0)
            ::close(ours);
    }

    /// The descriptor; -1 if there is none, or none any more. What those three give is of no type, unlike
    /// sockets, pipes and files. One fstat().
    [[nodiscard]] int get() const noexcept {
        struct stat status {};
        return fd_ >= 0 && ::fstat(fd_, &status) == 0 && (status.st_mode & S_IFMT) == 0 ? fd_ : -1;
    }

  private:
    const int fd_;
};

}  // namespace stek
