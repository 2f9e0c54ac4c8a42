// What the parts of a machine's plan share; not for those who use it.
#pragma once

#include "daemon/fleet/machine_plan.hpp"

#include <algorithm>

namespace stek::fleet {

inline daemon::KeyId key_of(const RingRecord& record) noexcept {
    return {record.epoch, record.revision};
}

/// Seconds before its beginning that a record may be taken: pairs are offered that far ahead, and a clock may
/// have been set since.
inline std::int64_t lead(const daemon::Policy& policy) noexcept {
    return static_cast<std::int64_t>((pairs_ahead + 1) * policy.pair_period());
}

/// Seconds that a record with these windows can have to live, at most.
inline std::uint64_t longest_life(std::int64_t not_before, std::int64_t open_until,
                                  const daemon::Policy& policy) noexcept {
    return static_cast<std::uint64_t>(open_until - not_before + lead(policy) + 1);
}

}  // namespace stek::fleet
