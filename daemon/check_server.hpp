// The servers' openssl.cnf, as --check reads it.
#pragma once

#include "daemon/config.hpp"

namespace stek::daemon {

/// Reads paths.server_config as a server's OpenSSL would: OpenSSL passes silently over what it cannot use.
/// Returns what it saw. Throws std::runtime_error (SettingsError) naming what is wrong: no active section
/// that loads paths.provider, an unknown key or a wrong value in it, or one that does not fit stekd.toml.
std::string check_server_config(const Config& config);

}  // namespace stek::daemon
