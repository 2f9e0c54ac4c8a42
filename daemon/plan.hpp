// The rotation plan: what is to be done now, as a pure function of time and of what is there.
//
// Clocks. The wall clock only selects: it says which epoch it is. Destruction goes by CLOCK_BOOTTIME, by the
// destroy_at that each record got when it was made. So a clock that jumps, forward or back, destroys nothing
// early, and the epoch that it jumped to gets a key at once; the old records stay for as long as they would
// have anyway.
//
// No K made twice. K is a function of (chain index, revision, H). Three things keep it from coming twice:
// - H is 32 fresh random bytes each time and is wiped after use; so a ring that is lost cannot be made again,
//   only replaced.
// - (epoch, revision) is reserved in the state file, durably, before K is derived, and never given out again.
//   The state keeps two numbers, the highest epoch and the highest revision ever: an epoch above the highest
//   is new, so revision 0; any other gets a revision above all. No history is needed for that to be unique,
//   however the clock jumps. A kill between reserving and publishing costs one revision number.
// - A chain index does not come back to another epoch. The chain at (i, e) serves e + k with index i + k,
//   k up to Policy::ahead(). If the epoch moves otherwise (long switched off, clock jumped or set back), the
//   chain goes beyond all that was ever derived from it; the state keeps the highest index and its epoch.
// So (index, revision) is unique as well: even a random generator that repeats itself does not make the same
// K again.
//
// Killed anywhere, it goes on. Actions are in an order such that after each of them the world is one that
// plan() can start from: a pair before what is wrapped to it; the ring before the chain key behind it is
// destroyed and before the pairs that it no longer names are; a pair that neither the ring nor the state
// knows is a stray. Each action done twice is done once. Exceptions: pairs whose records have all expired,
// and those that are revoked, go first of all, so that no file that cannot be written keeps them; and a chain
// key that is too far behind to derive from moves before the ring does.
//
// Orders. A person may ask for another key now, or for keys to go. The first plan of a run gets the order;
// what must not be lost to a kill is remembered before anything is done by it, so the plans after it need it
// no more:
// - rotate leaves a mark (Memory::rotated_past). No key made before it counts as provided any more, so the
//   current epoch and those prepared ahead get another revision each; those of the old that seal now stop,
//   and those that have not begun go: else an edge at which the token is down would bring one back. New keys
//   are wrapped to new pairs, because who has a copy of the old pairs could unwrap them, and so that revoking
//   the old ones does not cost the new. rotate with revoke_old makes the new key first and then revokes.
// - revoke condemns pairs (Memory::condemned): those that the named keys are wrapped to, or all there are.
//   They are destroyed, then what is wrapped to them leaves the ring, then whatever is missing is made. So
//   the token itself remembers what was begun, should no file take it: what is wrapped to a pair that is gone
//   leaves the ring in any plan, and a copy of that ring is worth nothing already. At short periods records
//   share a pair; its others are given up too, and made anew where they would seal: a STEK cannot be wrapped
//   again, for the ticket token does not let it go and its hourly key is wiped. Leaving the pair would let a
//   copy of an old ring open the revoked key. This does not wait for a new pair, so for as long as making one
//   takes there may be no key to seal with.
//
// Ahead. Records for the coming epochs are in the ring before they are due, so servers switch at the edge
// with nobody's help. For periods of ten seconds and more that is one record; below, ten seconds' worth.
#pragma once

#include "provider/key_ring.hpp"
#include "provider/vault.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace stek::daemon {

/// One moment on both clocks.
struct Now {
    std::int64_t wall = 0;   ///< Unix seconds
    std::uint64_t boot = 0;  ///< seconds of CLOCK_BOOTTIME
};

struct Policy {
    std::uint64_t period = 3600;           ///< seconds per epoch, at least 1
    std::uint64_t session_timeout = 7200;  ///< seconds that a STEK opens after it has stopped sealing

    /// Seconds. RSA-3072 takes up to 2 s to make (measured), so shorter periods share a pair.
    static constexpr std::uint64_t shortest_pair_period = 600;
    static constexpr unsigned max_ahead = 10;
    /// Beyond everything that is derived ahead of a chain key, where the state does not know how far that
    /// was.
    static constexpr std::uint64_t jump_steps = max_ahead + 1;

    [[nodiscard]] unsigned ahead() const noexcept;  ///< epochs prepared ahead, 1 to max_ahead
    [[nodiscard]] std::uint64_t pair_period() const noexcept;
    [[nodiscard]] std::uint64_t epoch_at(std::int64_t wall) const noexcept;
    /// The pair that an epoch's STEK is wrapped to: the Unix time at which its pair period begins.
    [[nodiscard]] std::int64_t pair_slot(std::uint64_t epoch) const noexcept;
    /// Records that a ring holds in a quiet life, at most.
    [[nodiscard]] std::uint64_t records_alive() const noexcept;
};

struct KeyId {
    std::uint64_t epoch = 0;
    std::uint32_t revision = 0;
    // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the 0 of a comparison for a pointer
    auto operator<=>(const KeyId&) const = default;
};

/// A pair that stekd made and whose public key it therefore trusts.
struct KnownPair {
    PairId id{};
    std::int64_t slot = 0;
    std::uint64_t made_at = 0;  ///< CLOCK_BOOTTIME seconds
};

/// What must outlive the process; the state file keeps it.
struct Memory {
    // The highest that were ever reserved.
    std::optional<std::uint64_t> highest_epoch, highest_index;
    std::uint32_t highest_revision = 0;
    std::uint64_t index_epoch = 0;  ///< the epoch that highest_index served
    std::vector<KnownPair> pairs;   ///< in the order that they were made
    /// The highest epoch and revision at the last order to rotate.
    std::optional<KeyId> rotated_past;
    std::vector<PairId> condemned;  ///< pairs to be destroyed, and all that is wrapped to them

    /// The next unused key of an epoch. Throws std::overflow_error after 2^32 revisions.
    [[nodiscard]] KeyId next(std::uint64_t epoch) const;
    void reserve(KeyId key) noexcept;
    void reserve(KeyId key, std::uint64_t index) noexcept;
    /// Whether a key was made since the last order to rotate. Exact: each key that next() gives is above the
    /// highest epoch or the highest revision before it.
    [[nodiscard]] bool made_since_rotation(KeyId key) const noexcept;
    [[nodiscard]] bool is_condemned(const PairId& id) const noexcept;
};

/// What the plan wants to know of a record.
struct RecordView {
    KeyId key;
    std::int64_t not_before = 0, seal_until = 0, open_until = 0;
    std::uint64_t destroy_at = 0;
    PairId pair{};
};

/// Where hourly keys come from: made by the location itself, or only those that an origin has sent.
struct HourlyKeys {
    bool made_here = true;
    std::vector<KeyId> at_hand;
};

/// Another key for the current epoch, now; older ones seal no more and, with revoke_old, open no more.
struct Rotate {
    bool revoke_old = false;
};
/// Keys that are to open nothing from now on.
struct Revoke {
    struct Which {
        std::uint64_t epoch = 0;
        std::optional<std::uint32_t> revision;  ///< none: all of the epoch's
        [[nodiscard]] bool names(KeyId key) const noexcept {
            return key.epoch == epoch && (!revision || key.revision == *revision);
        }
    };
    bool all = false;
    std::vector<Which> keys;
};
using Order = std::variant<Rotate, Revoke>;

struct World {
    /// The published ring's records, if it is this location's, of this boot and of this ticket token.
    std::vector<RecordView> ring;
    bool unpublished = false;  ///< those of a ring, rather, that could not be published yet
    std::optional<ChainPosition> chain;
    std::vector<PairId> token_pairs;  ///< all pairs in the ticket token
    Memory memory;
    /// With an origin, whoever keeps these drops those of a revoked key: the plan would make it again.
    HourlyKeys hourly;
    std::optional<Order> order;  ///< in the first plan of those that carry it out
};

struct MakeChain {
    ChainPosition at;
};
struct MakePair {
    std::int64_t slot;
};
/// Makes a STEK with `steps` ratchet steps on from the chain key and adds its record to the ring to be
/// published.
struct Derive {
    KeyId key;
    std::uint64_t steps, index;  ///< on from the chain key; the chain index that this leads to
    std::int64_t slot;           ///< of the known pair to wrap to
    std::int64_t not_before, seal_until, open_until;
    std::uint64_t destroy_at;
};
/// Drops a record from the ring to be published.
struct Retire {
    KeyId key;
    std::string why;
    bool revoked = false;  ///< by an order, not by its age
};
/// Ends a record's seal window.
struct EndSealing {
    KeyId key;
    std::int64_t at;
};
/// Remembers an order to rotate, durably.
struct MarkRotation {
    KeyId past;
};
/// Remembers a pair as condemned; durably, if the state can be written.
struct Condemn {
    PairId id;
};
struct Publish {};
struct Advance {
    std::uint64_t steps, epoch;
};
struct DestroyPair {
    PairId id;
    bool stray;  ///< neither ring nor state knew it
};
struct Alarm {
    std::string text;
};
using Action = std::variant<MakeChain, MakePair, Derive, Retire, Publish, Advance, DestroyPair, Alarm,
                            EndSealing, MarkRotation, Condemn>;

struct Plan {
    std::vector<Action> actions;
    std::int64_t next_edge = 0;                     ///< wall time of the next epoch
    std::optional<std::uint64_t> next_destruction;  ///< boot time of the next record to go, this plan done

    /// Nothing to do; at most something to say.
    [[nodiscard]] bool rests() const noexcept;
};

Plan plan(const Now& now, const Policy& policy, const World& world);

}  // namespace stek::daemon
