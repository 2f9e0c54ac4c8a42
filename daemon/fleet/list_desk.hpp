// Where lists are signed: the fleet's by the root key, a location's by one of its vaults.
#pragma once

#include "daemon/fleet/config.hpp"
#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/state.hpp"

#include <cstdint>
#include <memory>
#include <string>

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
    /// Signs it, and makes it the one in force: durable in the state directory, then in the engine. If the
    /// engine does not take it (EngineError), it is kept, and store() tries again. Throws EnrolmentRefused,
    /// and as TokenSession.
    void sign(Whose whose, const PartyList& list);
    /// Has the engine hold the newest list, whatever is there. Throws EngineError.
    void store(Whose whose);

  private:
    void sign_by_root(const PartyList& list);
    void sign_by_vault(const PartyList& list);

    FleetConfig config_;
    daemon::StateDirectory held_;
    Point root_;
    KnownLists lists_;
    std::unique_ptr<Engine> engine_;
};

/// Throws ConfigError if root would leave files in a state directory of another user's that this one could
/// not read any more.
void refuse_as_root_of_anothers(const std::string& state);

}  // namespace stek::fleet
