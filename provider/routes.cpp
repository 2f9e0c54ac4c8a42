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
using Slot = std::atomic<std::uint64_t>;

// A cache line of slots: a route may be in any of them, so that names displace each other only where there
// are more of them than slots. 2 MiB of addresses; of memory, what is used.
struct alignas(64) Shelf {
    std::array<Slot, 8> slots;
};
std::array<Shelf, 32768> shelves;
static_assert(shelves.size() <= std::size_t{1} << number_bits, "the tag does not have these bits of the key");

// The lowest bits choose the shelf, the highest tell whose a slot is.
Shelf& shelf_of(RouteKey key) noexcept {
    return shelves[key % shelves.size()];
}

std::uint64_t tag_of(std::uint64_t key_or_slot) noexcept {
    return key_or_slot >> number_bits << number_bits;
}

/// The slot with this route; null if there is none.
Slot* find(RouteKey key) noexcept {
    for (Slot& slot : shelf_of(key).slots) {
        if (tag_of(slot.load(std::memory_order_relaxed)) == tag_of(key)) {
            return &slot;
        }
    }
    return nullptr;
}

/// A free slot; or one whose route has to make room, which one the key says.
Slot& place_for(RouteKey key) noexcept {
    auto& slots = shelf_of(key).slots;
    for (Slot& slot : slots) {
        if (slot.load(std::memory_order_relaxed) == 0) {
            return slot;
        }
    }
    return slots[key / shelves.size() % slots.size()];
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
    Slot* const known = find(key);
    Slot& slot = known != nullptr ? *known : place_for(key);
    const std::uint64_t wanted = tag_of(key) | end.number;
    if (slot.load(std::memory_order_relaxed) != wanted) {
        slot.store(wanted, std::memory_order_relaxed);
    }
}

const ContextFacts* forecast(RouteKey key) noexcept {
    const Slot* const slot = key != 0 ? find(key) : nullptr;
    const std::uint64_t found = slot != nullptr ? slot->load(std::memory_order_relaxed) : 0;
    // It may have been given to another since.
    return tag_of(found) == tag_of(key) ? context_facts(static_cast<std::uint16_t>(found)) : nullptr;
}

}  // namespace stek
