#include "provider/mac_keys.hpp"

#include <cstring>

#include <openssl/crypto.h>

namespace stek {
namespace {

// An audience is a hash: any byte of it will do.
std::size_t place_of(const Audience& audience, std::size_t count) noexcept {
    return audience[0] % count;
}

// Acquire and release, so that no fence is needed: who reads a word of a later writer sees that one's odd
// sequence too, and so does not take the mixture.
template <class Words>
void load(const Words& from, std::uint8_t* to) noexcept {
    for (const auto& word : from) {
        const std::uint64_t value = word.load(std::memory_order_acquire);
        std::memcpy(to, &value, sizeof value);
        to += sizeof value;
    }
}

template <class Words>
void store(const std::uint8_t* from, Words& to) noexcept {
    for (auto& word : to) {
        std::uint64_t value = 0;
        std::memcpy(&value, from, sizeof value);
        word.store(value, std::memory_order_release);
        from += sizeof value;
    }
}

}  // namespace

MacKeys::~MacKeys() {
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "a word's bytes are the word");
    OPENSSL_cleanse(static_cast<void*>(&places_), sizeof places_);
}

bool MacKeys::find(const Audience& audience, SecretArray<32>& out) const noexcept {
    const Place& place = places_[place_of(audience, place_count)];
    const std::uint64_t before = place.sequence.load(std::memory_order_acquire);
    if (before == 0 || before % 2 != 0)
        return false;
    Audience owner;
    load(place.audience, owner.data());
    if (owner != audience)
        return false;
    load(place.key, out.data());
    return place.sequence.load(std::memory_order_relaxed) == before;
}

void MacKeys::remember(const Audience& audience, const SecretArray<32>& key) noexcept {
    Place& place = places_[place_of(audience, place_count)];
    std::uint64_t before = place.sequence.load(std::memory_order_relaxed);
    if (before % 2 != 0 || !place.sequence.compare_exchange_strong(
                               before, before + 1, std::memory_order_acquire, std::memory_order_relaxed))
        return;
    store(audience.data(), place.audience);
    store(key.data(), place.key);
    place.sequence.store(before + 2, std::memory_order_release);
}

}  // namespace stek
