// What a machine is to do now, as pure functions of time and of what is there.
//
// Clocks. The wall clock only selects: which epoch it is, and whether a record's window is over when it
// comes. What is at hand goes by CLOCK_BOOTTIME, at the destroy_at that it got when it was taken. So a clock
// that jumps destroys nothing early, and a key that an engine brings again and again is not kept for ever:
// its first taking sets when it is gone for good (KnownKey::gone_by).
//
// Killed anywhere, it goes on. Actions are in an order such that after each of them the world is one that
// these functions can start from:
// - counters are remembered, durably, before the ring that they are of is published: what comes once more
//   after a kill is the very same record, and any other is a replay;
// - the new ring is in place before the pairs go that it no longer names. What is revoked, and what has
//   expired, loses its pair first, so that no file that cannot be written keeps it; a record whose pair is
//   not in the token leaves the ring in any run;
// - a pair that is neither remembered nor named by the ring is a stray.
//
// Revoked. The pairs go that the key is wrapped to. At short periods records share a pair: the others are
// given up too (plan.hpp, "Orders"), and the location makes them anew for the next pair of that slot. The old
// record is refused for as long as its key could open anything: because its key is remembered as revoked, and
// because its pair is gone, which no memory can lose.
#pragma once

#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/machine_memory.hpp"
#include "daemon/fleet/record.hpp"
#include "daemon/plan.hpp"
#include "provider/key_ring.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace stek::fleet {

inline constexpr std::uint64_t pairs_ahead = 3;  ///< epochs that a machine offers pairs for

/// The slots, by their first epochs, for which a pair must be there: rising. Where a slot is shorter than it
/// takes to make a pair and to have records for it, those that begin within a minute too.
std::vector<std::uint64_t> wanted_slots(const daemon::Now& now, const daemon::Policy& policy);

/// A record whose frame was opened.
struct SignedRecord {
    MachineRecord record;
    PartyNumber vault = 0;  ///< that signed it
    Digest hash{};          ///< frame_hash()
    /// Needed to take it: for those that are neither refused nor at hand.
    std::shared_ptr<const SecretArray<admission_key_size>> admission_key;
};

struct MachineWorld {
    PartyNumber own = 0;  ///< in the list of its location
    std::string location;
    OaepHash oaep = OaepHash::sha1;  ///< of the ticket token
    const KeyRing* ring = nullptr;   ///< that servers see, or are to see
    bool unpublished = false;        ///< they do not see it
    std::vector<PairId> token_pairs;
    MachineMemory memory;
};

struct Refusal {
    std::string why;
    bool suspicious;  ///< no honest fleet with clocks that are right brings it about
};
/// Why a record is not taken; nothing if it may be. Revoked records are refused only if they are another
/// machine's: a replayed revocation revokes nothing anew.
std::optional<Refusal> refuse_record(const SignedRecord& record, const MachineWorld& world,
                                     const daemon::Now& now, const daemon::Policy& policy);
/// The ring has its key, wrapped to a pair that is there: to take it would change nothing.
bool is_at_hand(const MachineRecord& record, const MachineWorld& world) noexcept;
/// When a record of this window is to be destroyed, in CLOCK_BOOTTIME seconds, whatever the wall clock says
/// later: as for a standalone location (plan.hpp), from now.
std::uint64_t destroy_at(const MachineRecord& record, const daemon::Now& now) noexcept;

/// Remembers a key as revoked; durably, if the memory can be saved.
struct Revoke {
    daemon::KeyId key;
    std::int64_t open_until;
    std::uint64_t gone_by;
};
struct DestroyPair {
    PairId id;
};
/// Drops a record from the ring to be published.
struct Retire {
    daemon::KeyId key;
    std::string why;
    bool revoked = false;
};
/// Remembers, durably, that this record was taken.
struct Remember {
    daemon::KeyId key;
    std::int64_t open_until;
    std::uint64_t gone_by;
    PartyNumber vault;
    Taken taken;
};
/// Adds a record to the ring to be published, or replaces that of the same key.
struct Take {
    const SignedRecord* record;  ///< one of those that were given
    std::uint64_t destroy_at;
};
struct Publish {};
struct MakePair {
    std::uint64_t slot_epoch;
};
struct Alarm {
    std::string text;
};
using MachineAction = std::variant<Revoke, DestroyPair, Retire, Remember, Take, Publish, MakePair, Alarm>;
using MachineActions = std::vector<MachineAction>;

/// What has expired, has lost its pair or is revoked goes.
MachineActions drop_what_is_over(const daemon::Now& now, const daemon::Policy& policy,
                                 const MachineWorld& world);
/// Records are merged into the ring; it is published if it is not there.
MachineActions merge_records(const daemon::Now& now, const daemon::Policy& policy, const MachineWorld& world,
                             const std::vector<SignedRecord>& records);
MachineActions make_due_pairs(const daemon::Now& now, const daemon::Policy& policy,
                              const MachineWorld& world);
/// Pairs that the ring does not name and no record will.
MachineActions destroy_idle_pairs(const daemon::Now& now, const daemon::Policy& policy,
                                  const MachineWorld& world);
/// Those to offer: the newest of each slot that is wanted.
std::vector<const OwnPair*> pairs_to_offer(const daemon::Now& now, const daemon::Policy& policy,
                                           const MachineMemory& memory);
/// Forgets keys that are over by both clocks and not in the ring.
void forget_old_keys(MachineMemory& memory, const daemon::Now& now, const KeyRing& ring);

}  // namespace stek::fleet
