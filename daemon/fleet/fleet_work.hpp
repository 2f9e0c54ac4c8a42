// A fleet party's stekd: its roles on the event loop.
#pragma once

#include "daemon/fleet/config.hpp"
#include "daemon/work.hpp"

namespace stek::fleet {

/// Throws ConfigError (a reader that does not exist, a root that is no public key), AnotherStekd,
/// std::system_error.
daemon::MakeWork fleet_work(FleetConfig config);

}  // namespace stek::fleet
