// The vault token: the location's chain key and its ratchet. Only stekd has its PIN.
#pragma once

#include "pkcs11/session.hpp"

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <tuple>
#include <vector>

namespace stek {

/// Where the chain stands. The index counts ratchet steps; the epoch is the one that the key is for. In a
/// fleet they are equal. Both are kept in the object's CKA_ID (index, then epoch, 8 bytes each, big-endian);
/// CKA_LABEL is "stekd chain aes-cbc v1", which names the derivation profile.
struct ChainPosition {
    std::uint64_t index = 0;
    std::uint64_t epoch = 0;
    bool operator==(const ChainPosition&) const = default;
    std::strong_ordering operator<=>(const ChainPosition& other) const noexcept {
        return std::tie(index, epoch) <=> std::tie(other.index, other.epoch);
    }
};

/// What a vault token must offer.
std::span<const pkcs11::NeededMechanism> vault_mechanisms() noexcept;

/// A chain key to derive from: the token object, which stays, or a session object, which goes with this.
class ChainKey {
  public:
    explicit ChainKey(CK_OBJECT_HANDLE token_object) noexcept : token_object_(token_object) {}
    explicit ChainKey(pkcs11::ScopedObject session_object) noexcept : owned_(std::move(session_object)) {}
    [[nodiscard]] CK_OBJECT_HANDLE get() const noexcept { return owned_ ? owned_->get() : token_object_; }

  private:
    CK_OBJECT_HANDLE token_object_ = CK_INVALID_HANDLE;
    std::optional<pkcs11::ScopedObject> owned_;
};

/// The chain key in a logged-in read-write (for make and advance) session. One thread at a time.
class Chain {
  public:
    explicit Chain(pkcs11::Session& session) : session_(&session) {}
    /// The newest whole chain key: the largest index. Nothing if the vault has none. Passes over what is not
    /// exactly a chain key (half-written, another program's).
    std::optional<ChainPosition> position();
    /// Makes a new C in the token, for `epoch`, at index `index`. Throws TokenError if there is one that is
    /// not below that index; one below it goes with the next destroy_older().
    void make(ChainPosition at);
    /// For vaults that are to have the same C: where it begins, as a session object that can be wrapped and
    /// can derive. Hand out no more of it than wrapped, and destroy it before anything that comes of it is
    /// believed.
    pkcs11::ScopedObject make_seed();
    /// C as a session object, not extractable: one "chain" step from the seed (which a token that has
    /// unwrapped it may hold without a CKA_VALUE_LEN, as SoftHSM does, so that it could be no chain key
    /// itself).
    pkcs11::ScopedObject grow(CK_OBJECT_HANDLE seed, ChainPosition at);
    /// Puts what grow() made into the token, in one step: whole or not there. Throws TokenError if there is a
    /// chain key.
    void plant(const pkcs11::ScopedObject& key);
    /// The chain key for `epoch`, which must not be before the chain's: the token object itself, or a session
    /// object derived `epoch - position.epoch` steps ahead (at most max_steps_ahead). Throws
    /// std::out_of_range, pkcs11::TokenError (no chain).
    ChainKey at_epoch(std::uint64_t epoch);
    /// C --"chain"--> C' `steps` times (1 to max_advance); C' becomes a token object at index + steps, for
    /// `epoch`, then every older chain key is destroyed. Killed between the two, the next destroy_older()
    /// ends the work. The epoch may be any (standalone); never goes back in index. Throws std::out_of_range.
    void advance(std::uint64_t steps, std::uint64_t epoch);
    /// Destroys chain keys below the newest index. Returns how many.
    unsigned destroy_older();
    static constexpr std::uint64_t max_steps_ahead = 4096;
    static constexpr std::uint64_t max_advance = std::uint64_t{1} << 20;  ///< hours of 119 years

  private:
    struct Found {
        ChainPosition at;
        CK_OBJECT_HANDLE key;
    };
    std::vector<Found> find();  ///< in rising order of position
    Found newest();             ///< throws TokenError if there is none
    /// The key `steps` ahead as a session object, fit to be copied into the token at `at`.
    pkcs11::ScopedObject ahead(CK_OBJECT_HANDLE from, std::uint64_t steps, ChainPosition at);
    void keep(const pkcs11::ScopedObject& key);
    pkcs11::Session* session_;
};

}  // namespace stek
