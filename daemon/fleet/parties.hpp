// The roles of this stekd, at work on tokens that are open.
#pragma once

#include "daemon/access.hpp"
#include "daemon/fleet/bundle_store.hpp"
#include "daemon/fleet/fleet_tokens.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/fleet/location.hpp"
#include "daemon/fleet/location_vault.hpp"
#include "daemon/fleet/machine_ticket.hpp"
#include "daemon/fleet/origin.hpp"
#include "daemon/progress.hpp"

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace stek::fleet {

/// What the roles share and keep when tokens are opened anew. All is borrowed from it.
struct Premises {
    const FleetConfig& config;
    const daemon::Readers& readers;
    std::string state;  ///< the directory
    KnownLists& lists;
    BundleStore& bundles;
    Engine& engine;
    daemon::Progress progress;
};

/// They go before the tokens. One thread at a time.
class Parties {
  public:
    /// Reads what they remember from the state directory. Throws as FleetTokens does, and std::runtime_error
    /// if a memory cannot be understood: to go on without it would be to believe replays.
    Parties(const Premises& premises, FleetTokens& tokens);
    Parties(const Parties&) = delete;
    Parties& operator=(const Parties&) = delete;
    ~Parties();

    /// Origin, location, machine: each does what is due, whatever becomes of the others. The first trouble is
    /// thrown in the end: what Origin, Location and Machine throw.
    void run(const daemon::Now& now);
    /// An order for the origin: a new revision of each epoch that has a bundle.
    void renew(const daemon::Now& now);
    /// An order for the location: those of its keys that are at hand in the engine.
    std::vector<KeyId> revoke(const std::function<bool(KeyId)>& which, const daemon::Now& now);
    /// An order for the location: signs that list of its machines, and has it in force as issue_list() does.
    /// Throws FrameError (not in the fleet's list), EngineError, what the token throws.
    bool issue_machines(const PartyList& list);

    [[nodiscard]] const Origin* origin() const noexcept;
    [[nodiscard]] const Location* location() const noexcept;
    [[nodiscard]] const Machine* machine() const noexcept;
    /// Of the location's vault, as the last run left it.
    [[nodiscard]] std::optional<std::uint64_t> chain_epoch() const noexcept { return chain_epoch_; }
    /// What servers see now, by the last run of the machine; null where there is no machine.
    [[nodiscard]] const KeyRing* ring() const noexcept;

  private:
    struct OriginRole;
    struct LocationRole;
    struct MachineRole;
    void tell(const std::string& who, const std::vector<std::string>& alarms, std::set<std::string>& told);
    void tell_silent_vaults();
    void run_machine(const daemon::Now& now);

    Premises premises_;
    std::unique_ptr<OriginRole> origin_;
    std::unique_ptr<LocationRole> location_;
    std::unique_ptr<MachineRole> machine_;
    std::optional<std::uint64_t> chain_epoch_;
    std::string ring_trouble_;
};

}  // namespace stek::fleet
