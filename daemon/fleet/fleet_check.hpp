// `stekd --check` for a party of a fleet.
#pragma once

#include "daemon/fleet/config.hpp"

namespace stek::fleet {

/// As daemon::run_checks().
int run_checks(const FleetConfig& config);

}  // namespace stek::fleet
