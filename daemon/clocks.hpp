// The clocks that keys live by.
#pragma once

#include "daemon/plan.hpp"

namespace stek::daemon {

/// CLOCK_REALTIME and CLOCK_BOOTTIME, now, in seconds.
Now read_clocks();

}  // namespace stek::daemon
