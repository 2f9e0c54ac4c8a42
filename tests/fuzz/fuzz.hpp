// What all fuzz targets share: how a broken property ends the run, and files that a target feeds.
#pragma once

#include "provider/file.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <string_view>
#include <unistd.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace stek::fuzz {

/// libFuzzer keeps the input of a run that aborts.
inline void require(bool holds, std::string_view property) {
    if (!holds) {
        std::fprintf(stderr, "broken: %.*s\n", static_cast<int>(property.size()), property.data());
        std::abort();
    }
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

/// A directory in memory, gone at the process's end (of a crash its name stays, libFuzzer has the input).
class Directory {
  public:
    Directory() {
        std::string name = "/dev/shm/stek-fuzz-XXXXXX";
        require(::mkdtemp(name.data()) != nullptr, "there is a directory in /dev/shm");
        path_ = name;
    }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    ~Directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    /// The file of that name, in place of what it held.
    std::string write(const std::string& name, std::string_view content) const {
        const std::string file = path_ + "/" + name;
        const Fd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
        require(
            fd && ::write(fd.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()),
            "a file in /dev/shm is written");
        return file;
    }

  private:
    std::string path_;
};

}  // namespace stek::fuzz
