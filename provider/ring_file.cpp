#include "provider/ring_file.hpp"

#include "provider/file.hpp"
#include "provider/key_ring.hpp"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>

#include <sys/stat.h>

namespace stek {

FileStamp FileStamp::of(const struct stat& status) noexcept {
    return {status.st_dev,         status.st_ino,          static_cast<std::uint64_t>(status.st_size),
            status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec,
            status.st_ctim.tv_nsec};
}

bool FileStamp::settled_by(std::int64_t now_s) const noexcept {
    return std::llabs(now_s - changed_s) > 1;
}

std::optional<RingImage> read_ring_image(const std::string& path) {
    // O_NONBLOCK: a FIFO in the ring's place must not hold a handshake.
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    if (!file) {
        if (errno == ENOENT || errno == ENOTDIR)
            return std::nullopt;
        throw_errno("cannot open", path);
    }
    struct stat status {};
    if (::fstat(file.get(), &status) != 0)
        throw_errno("cannot look at", path);
    if (!S_ISREG(status.st_mode))
        throw RingError("key ring: not a regular file");
    if (status.st_size <= 0)
        throw RingError("key ring: empty");
    if (static_cast<std::uint64_t>(status.st_size) > max_ring_file)
        throw RingError("key ring: " + std::to_string(status.st_size) + " bytes, more than " +
                        std::to_string(max_ring_file));

    RingImage image{Secret(static_cast<std::size_t>(status.st_size)), FileStamp::of(status)};
    std::size_t got = 0;
    while (got < image.bytes.size()) {
        const ssize_t n = ::read(file.get(), image.bytes.data() + got, image.bytes.size() - got);
        if (n < 0 && errno != EINTR)
            throw_errno("cannot read", path);
        if (n == 0)
            break;
        if (n > 0)
            got += static_cast<std::size_t>(n);
    }
    image.bytes.truncate(got);
    return image;
}

std::shared_ptr<const KeyRing> read_ring_file(const std::string& path) {
    const std::optional<RingImage> image = read_ring_image(path);
    return image ? decode_ring(image->bytes.bytes()) : nullptr;
}

void replace_ring_file(const std::string& path, Bytes file, const std::function<void(int fd)>& set_access) {
    replace_file(path, file, set_access);
}

}  // namespace stek
