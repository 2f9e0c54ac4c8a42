// A location's vault: opens bundles, derives STEKs, wraps them to each machine.
//
// Several vaults of a location need no leader: what they derive is the same, and who is first with a
// machine's record has done it for all. In a fleet the chain's index is the epoch.
//
// Killed anywhere, the next run goes on:
// - The pin of a bundle is durable before anything is derived with it, and a block of counters before the
//   first of them is used.
// - When the chain leaves an epoch, its chain key is destroyed first and its pre-key then. The other way
//   round, a kill in between would leave an epoch that can be derived in the token, but whose hourly key
//   nobody here can open any more. This way round it leaves a pre-key that opens an hourly key which is good
//   for nothing without the chain key; the next run destroys it, for it looks at what is in the token.
#pragma once

#include "daemon/fleet/location_desk.hpp"
#include "daemon/fleet/location_hours.hpp"
#include "daemon/fleet/location_memory.hpp"
#include "daemon/fleet/location_plan.hpp"
#include "daemon/fleet/location_records.hpp"
#include "daemon/fleet/vault_work.hpp"
#include "daemon/plan.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace stek::fleet {

/// One thread at a time, the one that the vault's keys are of.
class Location {
  public:
    /// `save` makes the memory durable before it returns; whatever it throws ends the run before anything
    /// that has to be remembered is done.
    Location(const Identity& self, KnownLists& lists, Engine& engine, VaultWork& vault, LocationMemory memory,
             std::function<void(const LocationMemory&)> save);
    Location(const Location&) = delete;
    Location& operator=(const Location&) = delete;
    ~Location() = default;

    static constexpr std::uint64_t ahead = location_ahead;  ///< epochs: accepted, and pre-keys made

    /// Whatever is due at `now`: lists are looked at; pre-keys for the current epoch and `ahead` more are
    /// made and published; bundles from the chain's epoch to now + ahead are verified, compared with what is
    /// pinned, opened, pinned; for each active machine and each pair that it offers, a record is signed and
    /// left in the engine, unless one for that pair is there; when an epoch is over and a later one has a
    /// bundle, the chain moves on and that epoch's pre-key goes. Hourly keys are held in memory for as long
    /// as their epoch can be derived. Throws EngineError, FrameError (not in the list), what tokens and
    /// `save` throw; what was done stays, and the chain has moved all the same, if the token lets it.
    void run(const daemon::Now& now, const daemon::Policy& policy);
    /// Revokes: signs a record without a key for each machine, and derives it no more. Once that is
    /// remembered, run() goes on with what this could not do.
    void revoke(const std::vector<KeyId>& keys, const daemon::Now& now, const daemon::Policy& policy);

    struct Report {
        std::uint64_t last_epoch = 0;                 ///< derived since the start
        std::size_t machines = 0, pre_keys_left = 0;  ///< active; for the current epoch and later
        /// New in the last run or revoke(): another bundle for a pinned (epoch, revision), a share that does
        /// not open, a pair by another machine...
        std::vector<std::string> alarms;
    };
    [[nodiscard]] const Report& report() const noexcept { return report_; }

  private:
    void work(const daemon::Now& now, const daemon::Policy& policy);
    void tend_pre_keys(std::uint64_t chain_epoch, std::uint64_t now_epoch);
    void publish_pre_key(std::uint64_t epoch);
    void erase_pre_keys_that_are_gone();
    void destroy_pre_keys_before(std::uint64_t chain_epoch);
    void inherit_list(std::int64_t now);
    void move_chain(std::uint64_t to_epoch);
    void move_chain_on(const daemon::Now& now, const daemon::Policy& policy);
    void forget_revoked(const daemon::Now& now, const daemon::Policy& policy);
    void fill_report(const daemon::Now& now, const daemon::Policy& policy);

    LocationDesk desk_;
    HourlyShelf hours_;
    RecordDesk records_;
    std::map<std::uint64_t, Digest> published_;  ///< pre-keys' frames, as they are in the engine
    Report report_;
};

}  // namespace stek::fleet
