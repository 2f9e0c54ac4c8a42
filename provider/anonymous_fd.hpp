// Descriptors in a process whose program does not know of them.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <sys/stat.h>

namespace stek {

/// Owns a descriptor of inotify, timerfd or eventfd, or none (-1). Servers close descriptors that they do not
/// know when they go to the background, and then the number may be a client's connection, or an eventfd of
/// the server's own: it is neither used nor closed.
class AnonymousFd {
  public:
    explicit AnonymousFd(int fd) noexcept : fd_(fd) {
        // Of no effect where O_ASYNC is not set, and kept with the open file: 0 for whoever does not do this.
        if (fd_ >= 0)
            static_cast<void>(::fcntl(fd_, F_SETSIG, mark));
        marked_ = fd_ >= 0 && ::fcntl(fd_, F_GETSIG) == mark;
    }
    AnonymousFd(const AnonymousFd&) = delete;
    AnonymousFd& operator=(const AnonymousFd&) = delete;
    ~AnonymousFd() {
        if (const int ours = get(); ours >= 0)
            ::close(ours);
    }

    /// The descriptor; -1 if there is none, or none any more. What those three give is of no type, unlike
    /// sockets, pipes and files. Two system calls.
    [[nodiscard]] int get() const noexcept {
        struct stat status {};
        const bool ours = fd_ >= 0 && ::fstat(fd_, &status) == 0 && (status.st_mode & S_IFMT) == 0 &&
                          (!marked_ || ::fcntl(fd_, F_GETSIG) == mark);
        return ours ? fd_ : -1;
    }

  private:
    static constexpr int mark = 52;  // a signal that nobody sends
    const int fd_;
    bool marked_ = false;
};

}  // namespace stek
