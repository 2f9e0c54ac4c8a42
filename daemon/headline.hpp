// One line that says how it is, for `systemctl status`.
#pragma once

#include "provider/key_ring.hpp"

#include <cstdint>
#include <string>

namespace stek::daemon {

/// "sealing with e=489123.0, 41 min left". `now` is Unix seconds; times of two minutes and less are in
/// seconds.
std::string headline(const KeyRing& ring, std::int64_t now, unsigned stale_epochs);

}  // namespace stek::daemon
