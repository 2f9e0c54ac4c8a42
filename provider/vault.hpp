// The vault token: the location's chain key and its ratchet. Only stekd has its PIN.
#pragma once

#include "pkcs11/session.hpp"

#include <cstdint>
#include <optional>
#include <span>

namespace stek {

/// Where the chain stands. The index counts ratchet steps; the epoch is the one that the key is for. In a
/// fleet they are equal. Both are kept in the object's CKA_ID (index, then epoch, 8 bytes each, big-endian);
/// CKA_LABEL is "stekd chain aes-cbc v1", which names the derivation profile.
struct ChainPosition {
    std::uint64_t index = 0;
    std::uint64_t epoch = 0;
    auto operator<=>(const ChainPosition&) const = default;
};

/// What a vault token must offer.
std::span<const pkcs11::NeededMechanism> vault_mechanisms() noexcept;

/// The chain key in a logged-in read-write (for make and advance) session. One thread at a time.
class Chain {
  public:
    explicit Chain(pkcs11::Session& session) : session_(&session) {}
    /// The newest whole chain key: the largest index. Nothing if the vault has none.
    std::optional<ChainPosition> position();
    /// Makes C in the token, for `epoch`, at index `index`. Throws if one is there.
    void make(ChainPosition at);
    /// The chain key for `epoch`, which must not be before the chain's: the token object itself, or a session
    /// object derived `epoch - position.epoch` steps ahead (at most max_steps_ahead). Throws
    /// std::out_of_range, pkcs11::TokenError (no chain).
    pkcs11::ScopedObject at_epoch(std::uint64_t epoch);
    /// C --"chain"--> C' `steps` times; C' becomes a token object at index + steps, for `epoch`, then every
    /// older chain key is destroyed. Killed between the two, the next destroy_older() ends the work. The
    /// epoch may be any (standalone); never goes back in index.
    void advance(std::uint64_t steps, std::uint64_t epoch);
    /// Destroys chain keys below the newest index. Returns how many.
    unsigned destroy_older();
    static constexpr std::uint64_t max_steps_ahead = 4096;

  private:
    pkcs11::Session* session_;
};

}  // namespace stek
