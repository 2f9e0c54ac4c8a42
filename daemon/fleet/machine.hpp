// A machine: makes RSA pairs ahead, takes the records that its location wraps to them, keeps the key ring.
#pragma once

#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/identity.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/fleet/record.hpp"
#include "daemon/plan.hpp"
#include "provider/key_ring.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace stek::fleet {

/// A pair of the ticket token, as the machine remembers it. Ages count in CLOCK_BOOTTIME of this boot.
struct OwnPair {
    PairId id{};
    std::uint64_t slot_epoch = 0;  ///< the first epoch that it is for
    std::vector<std::uint8_t> public_key;
};

/// What a machine must remember: a file in its state directory. The ring and the pairs die with the boot,
/// this does not.
struct MachineMemory {
    std::string boot_id, token_serial;  ///< that the pairs are of
    std::vector<OwnPair> pairs;
    /// The highest counter taken for a key, by the vault that signed it: an older record is a replay.
    std::map<std::pair<daemon::KeyId, PartyNumber>, std::uint64_t> counters;
    std::map<daemon::KeyId, std::int64_t> revoked;  ///< until when (Unix seconds) they are remembered
};
std::vector<std::uint8_t> encode_memory(const MachineMemory& memory);  ///< JSON
MachineMemory decode_machine_memory(Bytes file);                       ///< std::runtime_error

/// What a machine does with its ticket token and its ring: the seam that unit tests fill in.
class TicketWork {
  public:
    virtual ~TicketWork() = default;
    virtual std::string token_serial() = 0;
    virtual std::vector<PairId> pairs() = 0;  ///< in the token
    virtual OwnPair make_pair(std::uint64_t slot_epoch) = 0;
    virtual void destroy_pair(const PairId& id) = 0;
    virtual OaepHash oaep() = 0;
    /// Replaces the ring file; servers see it.
    virtual void publish(const KeyRing& ring) = 0;
};

// The pure parts.

/// Why a record is not taken: empty if it may be.
std::string refuse_record(const MachineRecord& record, PartyNumber signer, const Identity& self,
                          PartyNumber own, const MachineMemory& memory);
/// When a record of this window is to be destroyed, in CLOCK_BOOTTIME seconds, whatever the wall clock says
/// later: as for a standalone location (plan.hpp), from now.
std::uint64_t destroy_at(const MachineRecord& record, const daemon::Now& now, const daemon::Policy& policy);

class Machine {
  public:
    Machine(const Identity& self, KnownLists& lists, Engine& engine, TicketWork& ticket, MachineMemory memory,
            std::function<void(const MachineMemory&)> save);

    static constexpr std::uint64_t ahead = 3;  ///< epochs that it offers pairs for

    struct Next {
        std::int64_t edge = 0;                     ///< wall time
        std::optional<std::uint64_t> destruction;  ///< boot time
    };
    /// Whatever is due at `now`: pairs for the current epoch and those ahead are made and offered (for short
    /// periods one for several epochs, Policy::pair_slot); records are verified, taken by their counters,
    /// merged; what is over or revoked leaves the ring, and then its pair is destroyed; the ring is published
    /// when it has changed or is not there. `there` is the ring that servers see now, null if it is none of
    /// this machine's. An engine that cannot be reached costs nothing that is at hand: the rest is done, then
    /// EngineError is thrown.
    Next run(const daemon::Now& now, const daemon::Policy& policy, std::shared_ptr<const KeyRing> there);

    [[nodiscard]] const KeyRing& ring() const noexcept { return ring_; }
    struct Report {
        std::vector<std::string> alarms;  ///< replays, records that do not open...
    };
    [[nodiscard]] const Report& report() const noexcept { return report_; }

  private:
    const Identity* self_;
    KnownLists* lists_;
    Engine* engine_;
    TicketWork* ticket_;
    MachineMemory memory_;
    std::function<void(const MachineMemory&)> save_;
    KeyRing ring_;
    Report report_;
};

}  // namespace stek::fleet
