// What a configuration names and stekd does not make: users, directories, files. It is looked at before
// anything else, so that a wrong name ends stekd as an error of the configuration does, with file, line and
// key, and is not tried again for ever.
#pragma once

#include "daemon/config.hpp"

namespace stek::daemon {

/// Throws ConfigError: a reader that is no user, a directory for a path that is not
/// there, a socket's path that is too long, no file paths.module_config. What this process may not see counts
/// as there.
void require_premises(const Config& config);

}  // namespace stek::daemon
