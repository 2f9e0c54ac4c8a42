// The beginning of a fleet: its root key.
#pragma once

#include "daemon/fleet/config.hpp"
#include "daemon/fleet/frame.hpp"

namespace stek::fleet {

struct NewFleet {
    FleetId id{};
    bool is_new = false;  ///< the key was made, or an interrupted init ended; false: all was there
};

/// Makes the root key in the token of [root], stores the first list, which is empty, in the state directory
/// and the engine, and writes engine.root last: without that file a fleet is not whole yet, and the next call
/// goes on. With it, nothing is changed.
///
/// Throws ConfigError (there is no [root]), WouldOverwrite (engine.root is another key's, or the engine holds
/// another fleet's list), EnrolmentRefused (the fleet's list is lost), AnotherStekd, EngineError, and as
/// TokenSession.
NewFleet init_fleet(const FleetConfig& config);

}  // namespace stek::fleet
