// Frames whose signatures were good once: parties look at the same ones in each run.
#pragma once

#include "daemon/fleet/frame.hpp"

#include <set>

namespace stek::fleet {

/// One thread at a time.
class VerifiedFrames {
  public:
    /// As open_frame(), but a signature that was good by that key is not verified again. What it is told by
    /// is SHA-256 over key and frame, so nothing else passes for it.
    Bytes open(Bytes frame, Kind kind, const FleetId& fleet, const Point& key);

  private:
    std::set<Digest> good_;
};

}  // namespace stek::fleet
