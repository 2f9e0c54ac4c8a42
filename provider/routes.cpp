#include "provider/routes.hpp"

#include "provider/audience.hpp"
#include "provider/framed_hash.hpp"

#include <array>
#include <atomic>

#include <openssl/rand.h>
#include <sys/socket.h>

namespace stek {

namespace {

// A slot is one word, so that it is read and written whole: 48 bits of the key, then the number of the facts.
constexpr unsigned number_bits = 16;
std::array<std::atomic<std::uint64_t>, 16384> slots;

std::atomic<std::uint64_t>& slot_of(RouteKey key) noexcept {
    return slots[key % slots.size()];
}

// The lowest bits choose the slot, the highest tell who is in it.
std::uint64_t tag_of(RouteKey key) noexcept {
    return key >> number_bits << number_bits;
}

/// Without it, whoever may choose server names could choose which of them displace each other.
std::uint64_t seed() noexcept {
    static std::atomic<std::uint64_t> known{0};
    std::uint64_t value = known.load(std::memory_order_relaxed);
    while (value == 0) {
        std::uint64_t fresh = 0;
        if (RAND_bytes(reinterpret_cast<unsigned char*>(&fresh), sizeof fresh) != 1) {
            return 0;
        }
        if (known.compare_exchange_strong(value, fresh)) {
            return fresh;
        }
    }
    return value;
}

}  // namespace

RouteKey route_key(std::uint64_t ctx_id, int fd, std::string_view server_name) noexcept {
    try {
        const std::uint64_t key_of_hash = seed();
        if (key_of_hash == 0) {
            return 0;
        }
        FramedHash hash;
        hash.number(key_of_hash);
        hash.number(ctx_id);
        sockaddr_storage address{};
        socklen_t size = sizeof address;
        if (fd >= 0 && getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
            hash.part(Bytes(reinterpret_cast<const std::uint8_t*>(&address), size));
        }
        hash.part(lower_case(server_name));
        std::array<std::uint8_t, 32> digest{};
        if (!hash.finish(digest)) {
            return 0;
        }
        RouteKey key = 0;
        for (std::size_t i = 0; i < sizeof key; ++i) {
            key = key << 8 | digest[i];
        }
        return key;
    } catch (const std::exception&) {
        return 0;
    }
}

void learn_route(RouteKey key, const ContextFacts& end) noexcept {
    if (key == 0) {
        return;
    }
    auto& slot = slot_of(key);
    const std::uint64_t wanted = tag_of(key) | end.number;
    if (slot.load(std::memory_order_relaxed) != wanted) {
        slot.store(wanted, std::memory_order_relaxed);
    }
}

const ContextFacts* forecast(RouteKey key) noexcept {
    const std::uint64_t found = slot_of(key).load(std::memory_order_relaxed);
    return key != 0 && tag_of(found) == tag_of(key) ? context_facts(static_cast<std::uint16_t>(found))
                                                    : nullptr;
}

}  // namespace stek
