// A machine: makes RSA pairs ahead, takes the records that its location wraps to them, keeps the key ring.
#pragma once

#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/identity.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/fleet/machine_memory.hpp"
#include "daemon/fleet/machine_plan.hpp"
#include "daemon/plan.hpp"
#include "provider/key_ring.hpp"

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace stek::fleet {

/// What a machine does with its ticket token and its ring: the seam that unit tests fill in. All may throw
/// pkcs11 errors and std::system_error.
class TicketWork {
  public:
    virtual ~TicketWork() = default;
    virtual std::string boot_id() = 0;
    virtual std::string token_serial() = 0;
    virtual std::vector<PairId> pairs() = 0;  ///< in the token
    /// Servers may use it on return.
    virtual OwnPair make_pair(std::uint64_t slot_epoch) = 0;
    virtual void destroy_pair(const PairId& id) = 0;  ///< absent is fine
    virtual OaepHash oaep() = 0;
    /// Replaces the ring file; servers see it.
    virtual void publish(const KeyRing& ring) = 0;
};

/// One thread at a time.
class Machine {
  public:
    /// `save` makes the memory durable before it returns, or throws. All are borrowed.
    Machine(const Identity& self, KnownLists& lists, Engine& engine, TicketWork& ticket, MachineMemory memory,
            std::function<void(const MachineMemory&)> save);

    static constexpr std::uint64_t ahead = pairs_ahead;

    struct Next {
        std::int64_t edge = 0;                     ///< wall time
        std::optional<std::uint64_t> destruction;  ///< boot time
    };
    /// Whatever is due at `now`: what is over or revoked leaves the ring; records are verified, taken by
    /// their counters, merged; the ring is published when it has changed or is not there; pairs for the
    /// current epoch and those ahead are made and offered (for short periods one for several epochs,
    /// Policy::pair_slot), again if the engine lost an offer, and those that nothing needs are destroyed.
    /// `there` is the ring that servers see now; null if there is none. One that is not this machine's, or of
    /// another ticket token, counts as none.
    ///
    /// What cannot be done costs nothing else: an engine that cannot be reached, a list that this machine is
    /// not in (FrameError) or a memory that cannot be saved keeps from new keys, not from those at hand nor
    /// from destroying them; the first such error is thrown in the end. What the ticket token or the ring's
    /// file system throws ends the run. After either, the next run goes on.
    void run(const daemon::Now& now, const daemon::Policy& policy,
             const std::shared_ptr<const KeyRing>& there);
    /// When to run again if the engine's watch does not ask for it before.
    [[nodiscard]] Next next(const daemon::Now& now, const daemon::Policy& policy) const;

    /// As last published.
    [[nodiscard]] const KeyRing& ring() const noexcept { return ring_; }
    [[nodiscard]] const MachineMemory& memory() const noexcept { return memory_; }
    /// Of the last run: whoever logs it says what stays the same once.
    struct Report {
        std::vector<std::string> alarms;  ///< replays, records that do not open...
        std::vector<daemon::KeyId> taken;
        std::vector<Retire> retired;
    };
    [[nodiscard]] const Report& report() const noexcept { return report_; }

  private:
    void look_around(const daemon::Now& now, const daemon::Policy& policy,
                     const std::shared_ptr<const KeyRing>& there);
    void adopt_ring(const std::shared_ptr<const KeyRing>& there, const daemon::Policy& policy);
    [[nodiscard]] MachineWorld world() const;
    void find_own_number();
    std::vector<SignedRecord> gather(const daemon::Now& now, const daemon::Policy& policy);
    [[nodiscard]] SignedRecord read(Bytes frame, const daemon::Now& now, const daemon::Policy& policy) const;
    void offer_pairs(const daemon::Now& now, const daemon::Policy& policy);
    [[nodiscard]] bool is_offered(const std::string& key, Bytes body);
    void save_if_possible();
    /// Makes a change to the memory that is durable on return. If it cannot be, there was none.
    template <class Change>
    void remember(const Change& change);
    template <class Act>
    void try_to(const Act& act);

    void carry_out(const MachineActions& actions, const daemon::Now& now);
    void act(const Revoke& action, const daemon::Now& now);
    void act(const DestroyPair& action, const daemon::Now& now);
    void act(const Retire& action, const daemon::Now& now);
    void act(const Remember& action, const daemon::Now& now);
    void act(const Take& action, const daemon::Now& now);
    void act(const Publish& action, const daemon::Now& now);
    void act(const MakePair& action, const daemon::Now& now);
    void act(const Alarm& action, const daemon::Now& now);

    const Identity* self_;
    KnownLists* lists_;
    Engine* engine_;
    TicketWork* ticket_;
    MachineMemory memory_;
    std::function<void(const MachineMemory&)> save_;
    KeyRing ring_, draft_;
    bool unpublished_ = true;
    std::string bucket_;
    std::vector<PairId> token_pairs_;
    PartyNumber own_ = 0;         ///< in the list; 0: not in it
    std::exception_ptr trouble_;  ///< the run's first that other things are done in spite of
    bool engine_answers_ = true;
    Report report_;
};

}  // namespace stek::fleet
