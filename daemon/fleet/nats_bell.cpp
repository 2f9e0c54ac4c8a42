#include "daemon/fleet/nats_bell.hpp"

#include "daemon/fleet/engine.hpp"

#include <cerrno>
#include <cstdint>
#include <new>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <sys/eventfd.h>

namespace stek::fleet {
namespace {

/// Kept for somebody who is at something else; a thousand machines tell of a few thousand at a time.
constexpr std::size_t most_changes = 16384;

}  // namespace

Bell::Bell() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!fd_)
        throw EngineError("no eventfd: " + std::generic_category().message(errno));
}

// Full, it is readable already.
void Bell::wake() noexcept {
    const std::uint64_t one = 1;
    (void)!::write(fd_.get(), &one, sizeof one);
}

void Bell::ring() noexcept {
    {
        const std::lock_guard lock(mutex_);
        heard_.is_all = false;
    }
    wake();
}

void Bell::ring_for(NatsChange change) noexcept {
    {
        const std::lock_guard lock(mutex_);
        try {
            if (heard_.changes.size() < most_changes)
                heard_.changes.push_back(std::move(change));
            else
                heard_.is_all = false;
        } catch (const std::bad_alloc&) {
            heard_.is_all = false;
        }
    }
    wake();
}

// The descriptor first: what comes in between rings once more.
Bell::Heard Bell::quiet() noexcept {
    std::uint64_t rung = 0;
    (void)!::read(fd_.get(), &rung, sizeof rung);
    const std::lock_guard lock(mutex_);
    return std::exchange(heard_, {});
}

void Bell::retire() noexcept {
    retired_ = true;
    ring();
}

}  // namespace stek::fleet
