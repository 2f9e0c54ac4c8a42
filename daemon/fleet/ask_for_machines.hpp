// Orders about a location's machines, to the stekd that has the vault's token.
#pragma once

#include "daemon/fleet/config.hpp"

#include <nlohmann/json_fwd.hpp>

namespace stek::fleet {

/// The reply to an order that was carried out; a warning in it has been said on stderr. Throws
/// EnrolmentRefused if stekd declined, ControlError.
nlohmann::json ask_for_machines(const FleetConfig& config, const nlohmann::json& order);

}  // namespace stek::fleet
