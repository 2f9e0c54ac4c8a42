// Reading the ring file once, with what tells one version of it from the next.
#pragma once

#include "pkcs11/secret.hpp"

#include <cstdint>
#include <optional>
#include <string>

struct stat;

namespace stek {

/// What changes when the file does. Inode numbers are reused and times tick in milliseconds, so equal stamps
/// prove nothing while the file is younger than a tick: settled_by().
struct FileStamp {
    std::uint64_t device = 0, inode = 0, size = 0;
    std::int64_t modified_s = 0, modified_ns = 0, changed_s = 0, changed_ns = 0;
    bool operator==(const FileStamp&) const = default;
    static FileStamp of(const struct stat& status) noexcept;
    /// True if a later change would surely show, seen from this much Unix time.
    [[nodiscard]] bool settled_by(std::int64_t now_s) const noexcept;
};

struct RingImage {
    Secret bytes;
    FileStamp stamp;  ///< taken before the first byte was read
};

/// Nothing if there is no such file. Throws std::system_error if it cannot be read, RingError if it cannot be
/// a ring: not a regular file, empty, or larger than max_ring_file (then not a byte is read).
std::optional<RingImage> read_ring_image(const std::string& path);

}  // namespace stek
