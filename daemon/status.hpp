// `stekctl status`: what there is, from ring, state and counters; the tokens are not touched.
#pragma once

#include "daemon/config.hpp"

#include <string>

namespace stek::daemon {

/// Prints to standard output. Returns exit_ok, or exit_findings if there is no ring to speak of.
int print_status(const Config& config, bool as_json);

}  // namespace stek::daemon
