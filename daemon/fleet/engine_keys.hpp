// The engine's keys of bundles and pre-keys, as text.
#pragma once

#include "daemon/fleet/party.hpp"
#include "daemon/plan.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace stek::fleet {

/// "<epoch>.<revision>", decimal.
std::string bundle_key(daemon::KeyId key);
/// Nothing for what bundle_key() does not make: leading zeros, too.
std::optional<daemon::KeyId> parse_bundle_key(std::string_view text);
/// "<vault's name>.<epoch>"
std::string pre_key_key(const Party& vault, std::uint64_t epoch);

}  // namespace stek::fleet
