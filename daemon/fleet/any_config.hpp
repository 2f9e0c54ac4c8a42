// stekd.toml of either kind, for commands that are the same for both.
#pragma once

#include "daemon/config.hpp"

#include <string>

namespace stek::fleet {

/// What a stekd of any kind has set. Throws ConfigError.
daemon::Config load_any_config(const std::string& file);

}  // namespace stek::fleet
