#include "daemon/fleet/nats_bell.hpp"

#include "daemon/fleet/engine.hpp"

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <unistd.h>

#include <sys/eventfd.h>

namespace stek::fleet {

Bell::Bell() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!fd_)
        throw EngineError("no eventfd: " + std::generic_category().message(errno));
}

// Full, it is readable already.
void Bell::ring() noexcept {
    const std::uint64_t one = 1;
    (void)!::write(fd_.get(), &one, sizeof one);
}

void Bell::quiet() noexcept {
    std::uint64_t rung = 0;
    (void)!::read(fd_.get(), &rung, sizeof rung);
}

void Bell::retire() noexcept {
    retired_ = true;
    ring();
}

}  // namespace stek::fleet
