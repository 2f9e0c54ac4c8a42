// What a location's vault remembers from one run to the next.
#pragma once

#include "daemon/fleet/bundle.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <vector>

namespace stek::fleet {

/// A file in the state directory. Not secret, but it is what keeps a replay from being believed: without it
/// another hourly key could be derived with for an epoch that has one, and a record's counter could repeat.
struct LocationMemory {
    std::map<KeyId, Digest> pinned;  ///< frame_hash() of the bundle that was first derived with
    /// No record was signed with a higher one. Reserved in blocks: numbers may be skipped, none comes twice.
    std::uint64_t counter = 0;
    std::set<KeyId> revoked;  ///< until their open window is over and their epoch cannot be derived
    bool operator==(const LocationMemory&) const = default;
};

std::vector<std::uint8_t> encode_memory(const LocationMemory& memory);  ///< JSON
/// Throws std::runtime_error: not JSON, a field missing, unknown, twice, of another type or out of range.
LocationMemory decode_location_memory(Bytes file);

}  // namespace stek::fleet
