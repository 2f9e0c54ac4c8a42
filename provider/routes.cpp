#include "provider/routes.hpp"

#include "provider/audience.hpp"
#include "provider/framed_hash.hpp"
#include "provider/timing.hpp"

#include <array>
#include <atomic>

#include <openssl/rand.h>
#include <sys/socket.h>

namespace stek {

namespace {

// A slot is one word, so that it is read and written whole. From the highest bit: 37 of the key, 1 if the
// route is doubtful for good, 7 that count the times that routes were doubted, 3 for the way, 16 for the
// facts.
constexpr unsigned number_bits = 16, way_bits = 3, doubt_bits = 7;
constexpr unsigned doubts_at = number_bits + way_bits, old_at = doubts_at + doubt_bits, tag_at = old_at + 1;
constexpr std::uint64_t most_doubts = std::uint64_t{1} << doubt_bits;
constexpr std::uint64_t is_old = std::uint64_t{1} << old_at;
using Slot = std::atomic<std::uint64_t>;

// A cache line of slots: a route may be in any of them, so that names displace each other only where there
// are more of them than slots. 2 MiB of addresses; of memory, what is used.
struct alignas(64) Shelf {
    std::array<Slot, 8> slots;
};
std::array<Shelf, 32768> shelves;
static_assert(shelves.size() <= std::size_t{1} << tag_at, "the tag does not have these bits of the key");

std::atomic<std::uint64_t> doubts{0}, last_doubt{0};  // how many, and the second of the last
constexpr std::uint64_t fresh_for_seconds = 10;

// The lowest bits choose the shelf, the highest tell whose a slot is.
Shelf& shelf_of(RouteKey key) noexcept {
    return shelves[key % shelves.size()];
}

std::uint64_t tag_of(std::uint64_t key_or_slot) noexcept {
    return key_or_slot >> tag_at;
}

std::uint64_t doubts_of(std::uint64_t slot) noexcept {
    return slot >> doubts_at & (most_doubts - 1);
}

/// How many times routes were doubted since, as far as 7 bits can tell.
std::uint64_t age_of(std::uint64_t slot, std::uint64_t count) noexcept {
    return (count - doubts_of(slot)) & (most_doubts - 1);
}

/// Before the count begins anew and an old route would look fresh.
void mark_old_routes(std::uint64_t count) noexcept {
    for (Shelf& shelf : shelves) {
        for (Slot& slot : shelf.slots) {
            std::uint64_t found = slot.load(std::memory_order_relaxed);
            if (found != 0 && (found & is_old) == 0 && age_of(found, count) >= most_doubts / 4) {
                // If it was learned anew meanwhile, it is not old.
                slot.compare_exchange_strong(found, found | is_old, std::memory_order_relaxed);
            }
        }
    }
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

void learn_route(RouteKey key, const ContextFacts& end, Way way) noexcept {
    if (key == 0) {
        return;
    }
    Slot* const known = find(key);
    Slot& slot = known != nullptr ? *known : place_for(key);
    const std::uint64_t now = doubts.load(std::memory_order_acquire) & (most_doubts - 1);
    const std::uint64_t wanted = tag_of(key) << tag_at | now << doubts_at |
                                 static_cast<std::uint64_t>(way) << number_bits | end.number;
    if (slot.load(std::memory_order_relaxed) != wanted) {
        slot.store(wanted, std::memory_order_relaxed);
    }
}

Forecast forecast(RouteKey key) noexcept {
    const Slot* const slot = key != 0 ? find(key) : nullptr;
    const std::uint64_t found = slot != nullptr ? slot->load(std::memory_order_relaxed) : 0;
    // It may have been given to another since.
    if (slot == nullptr || tag_of(found) != tag_of(key)) {
        return {};
    }
    return {.facts = context_facts(static_cast<std::uint16_t>(found)),
            .way = static_cast<Way>(found >> number_bits & ((1U << way_bits) - 1)),
            .doubtful = (found & is_old) != 0 || age_of(found, doubts.load(std::memory_order_acquire)) != 0};
}

void doubt_routes() noexcept {
    last_doubt.store(coarse_seconds(), std::memory_order_relaxed);
    const std::uint64_t count = doubts.fetch_add(1, std::memory_order_release) + 1;
    if (count % (most_doubts / 4) == 0) {
        mark_old_routes(count);
    }
}

bool doubts_are_fresh() noexcept {
    return coarse_seconds() < last_doubt.load(std::memory_order_relaxed) + fresh_for_seconds;
}

}  // namespace stek
