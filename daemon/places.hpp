// Directories below /run die with the boot, and with `systemctl stop`: stekd makes its own anew.
#pragma once

#include "daemon/access.hpp"
#include "daemon/config.hpp"

namespace stek::daemon {

/// Makes the servers' counters' directory, SoftHSM's tokendir and remake_pins if they are missing, each with
/// the rights of its purpose. Throws std::system_error.
void make_places(const Config& config, const Readers& readers);

}  // namespace stek::daemon
