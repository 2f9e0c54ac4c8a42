// Where the ring lies for servers: put there, given to them, and known again.
#pragma once

#include "daemon/access.hpp"
#include "provider/key_ring.hpp"

#include <optional>
#include <string>

#include <sys/types.h>

namespace stek::daemon {

/// Replaces the file; readers may read it when it is in place. Throws std::invalid_argument for what is no
/// ring, std::system_error; the old file is then still there. Returns the new one's inode.
std::optional<ino_t> publish_ring(const KeyRing& ring, const std::string& path, unsigned version,
                                  const Readers& readers);

/// For readers that are others than when it was published. Nothing happens if there is none. Throws
/// std::system_error.
void give_ring_access(const std::string& path, const Readers& readers);

/// Why a ring is not the one of this location and ticket token; empty if it is.
std::string why_not_ours(const KeyRing& ring, const std::string& location, const std::string& token_serial);

}  // namespace stek::daemon
