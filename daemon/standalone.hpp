// A location of its own: vault and ticket token on this machine, and nobody else to ask.
#pragma once

#include "daemon/rotation.hpp"
#include "daemon/work.hpp"

namespace stek::daemon {

/// Throws as Rotation does.
MakeWork standalone(Config config);

}  // namespace stek::daemon
