#include "daemon/ring_place.hpp"

#include "provider/file.hpp"

#include <fcntl.h>

#include <sys/stat.h>

namespace stek::daemon {

std::optional<ino_t> publish_ring(const KeyRing& ring, const std::string& path, unsigned version,
                                  const Readers& readers) {
    const auto file = encode_ring(ring, version);
    struct stat status {};
    bool known = false;
    replace_ring_file(path, file.bytes(), [&](int fd) {
        readers.allow_reading(fd, path);
        known = ::fstat(fd, &status) == 0;
    });
    return known ? std::optional(status.st_ino) : std::nullopt;
}

void give_ring_access(const std::string& path, const Readers& readers) {
    if (const Fd ring(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)); ring)
        readers.allow_reading(ring.get(), path);
}

std::string why_not_ours(const KeyRing& ring, const std::string& location, const std::string& token_serial) {
    if (ring.location != location)
        return "it is location " + ring.location + "'s";
    if (ring.token_serial != token_serial)
        return "it is for another ticket token";
    return {};
}

}  // namespace stek::daemon
