// Keys of the tickets' HMAC that one record's admission key gives: one an audience, worked out once and not
// for each ticket (15 % of a ticket's instructions).
#pragma once

#include "pkcs11/secret.hpp"

#include <array>
#include <atomic>
#include <cstdint>

namespace stek {

/// Whom a ticket is for: the hash in audience.hpp.
using Audience = std::array<std::uint8_t, 32>;

/// Remembers a few of them, in the record itself: they are wiped when the admission key is. Any thread,
/// without a lock or a wait: each place is a sequence lock whose words are all atomic. Two audiences that
/// fall on the same place drive each other out, which costs time only.
class MacKeys {
  public:
    MacKeys() noexcept = default;
    MacKeys(const MacKeys&) = delete;
    MacKeys& operator=(const MacKeys&) = delete;
    ~MacKeys();

    /// False, and `out` undefined, if it is not there or is written at this moment.
    bool find(const Audience& audience, SecretArray<32>& out) const noexcept;
    /// Does nothing if another thread writes to that place.
    void remember(const Audience& audience, const SecretArray<32>& key) noexcept;

  private:
    static constexpr std::size_t words = 4;  // of 8 bytes: an audience, a key
    using Words = std::array<std::atomic<std::uint64_t>, words>;
    struct Place {
        std::atomic<std::uint64_t> sequence{0};  // 0: empty; odd: written at this moment
        Words audience{};
        Words key{};
    };
    static constexpr std::size_t place_count = 16;  // 1,152 bytes a record

    std::array<Place, place_count> places_{};
};

}  // namespace stek
