// A disk that can be filled to the last byte: a tmpfs that only this process and its children see.
#pragma once

#include <filesystem>
#include <string>

namespace stek::test {

class SmallDisk {
  public:
    /// Mounts it on an empty directory. Throws std::system_error; needs root, and a process of one thread:
    /// the mount namespace is new.
    SmallDisk(std::filesystem::path directory, const std::string& size);
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;
    ~SmallDisk();

    /// Moves what is in this directory onto the disk, and shows it where it was. Returns where it is on the
    /// disk: what is moved away by that path can come back.
    std::filesystem::path take(const std::filesystem::path& directory);
    void fill() const;  ///< until not a byte more can be written
    void free() const;  ///< what fill() took
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return directory_; }

  private:
    [[nodiscard]] std::filesystem::path filler() const { return directory_ / "filler"; }
    std::filesystem::path directory_;
};

}  // namespace stek::test
