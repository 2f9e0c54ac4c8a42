// Where lists are signed: the fleet's by the root key, a location's by one of its vaults.
#pragma once

#include "daemon/fleet/config.hpp"
#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/state.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace stek::fleet {

enum class Whose : std::uint8_t {
    fleet,     ///< origins and vaults
    location,  ///< its machines
};

/// Whether this instance may sign it: its configuration names the token that takes.
bool signs(const FleetConfig& config, Whose whose) noexcept;

/// Whether a stekd has the state directory, and with it the vault's token, so that it has to be asked (over
/// paths.control, which is set then).
bool stekd_runs(const FleetConfig& config);

/// One command's work on lists. The state directory is held for its life, so nobody signs another list
/// meanwhile; no token is opened before something is to be signed. One thread at a time.
class ListDesk {
  public:
    /// Looks in the engine for the newest lists. Throws ConfigError, AnotherStekd, EngineError,
    /// std::system_error.
    explicit ListDesk(FleetConfig config);

    [[nodiscard]] const FleetConfig& config() const noexcept { return config_; }
    [[nodiscard]] const FleetId& fleet_id() const noexcept { return lists_.fleet_id(); }
    /// The newest. A location's that has none yet: an empty one, of serial 0. Throws EnrolmentRefused if the
    /// fleet's is wanted and none is known.
    [[nodiscard]] PartyList list(Whose whose) const;
    /// What becomes of a list; nothing if it is well as it is.
    using Change = std::function<std::optional<PartyList>(const PartyList&)>;
    /// Signs what the change makes of the newest list, and has it in force as issue_list() does: the list, or
    /// nothing if nothing was to be changed. Throws EnrolmentRefused, EngineError, and as TokenSession and
    /// the change.
    std::optional<PartyList> change(Whose whose, const Change& change);

  private:
    void store(Whose whose);
    [[nodiscard]] std::vector<std::uint8_t> sign(Whose whose, const PartyList& list);
    [[nodiscard]] std::vector<std::uint8_t> sign_by_root(const PartyList& list);
    [[nodiscard]] std::vector<std::uint8_t> sign_by_vault(const PartyList& list);

    FleetConfig config_;
    daemon::StateDirectory held_;
    Point root_;
    KnownLists lists_;
    std::unique_ptr<Engine> engine_;
};

/// Throws ConfigError if root would leave files in a state directory of another user's that this one could
/// not read any more.
void refuse_as_root_of_anothers(const std::string& state);
/// The state directory, after that question.
const std::string& own_state(const FleetConfig& config);

}  // namespace stek::fleet
