// Small files: owned descriptors, and replacement that no reader can see half done.
#pragma once

#include "pkcs11/secret.hpp"

#include <functional>
#include <string>
#include <unistd.h>
#include <utility>

namespace stek {

/// Owns a file descriptor; -1 is none.
class Fd {
  public:
    Fd() noexcept = default;
    explicit Fd(int fd) noexcept : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(other.release()) {}
    Fd& operator=(Fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() {
        if (fd_ >= 0)
            ::close(fd_);
    }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    explicit operator bool() const noexcept { return fd_ >= 0; }

  private:
    int fd_ = -1;
};

/// Throws std::system_error with errno, reading "what path: No such file or directory".
[[noreturn]] void throw_errno(const char* what, const std::string& path);

/// To the end, whatever write(2) takes at a time. Throws std::system_error naming `path`.
void write_all(int fd, Bytes content, const std::string& path);

/// Writes `<path>.new`, mode 0640, lets `set_access` (may be empty) do what it likes with the open file, and
/// renames it over `path`. A reader sees the old file or the new one. One writer at a time. Throws
/// std::system_error, or what set_access throws; the old file is then still there and the new one gone.
void replace_file(const std::string& path, Bytes content, const std::function<void(int fd)>& set_access);

}  // namespace stek
