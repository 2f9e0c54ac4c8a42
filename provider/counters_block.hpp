// The counter file's layout, in the machine's byte order: it never leaves the machine, nor outlives a boot.
//
//   offset  size
//        0     8  magic "stekstat" (last byte first on little-endian machines)
//        8     4  layout version
//       12     4  process id, as the process itself sees it
//       16     8  tickets sealed
//       24     8  tickets opened
//       32     8  tickets renewed
//       40     8  token errors
//       48    88  tickets declined, by Decline
//      136    96  operations by latency, by latency_bounds_us
//      232     8  sum of those latencies in nanoseconds; since version 2
#pragma once

#include "provider/counters.hpp"

#include <iterator>

namespace stek {

inline constexpr std::size_t decline_kinds = static_cast<std::size_t>(Decline::count_);
inline constexpr std::size_t latency_buckets = std::size(latency_bounds_us) + 1;

struct Counters::Block {
    static constexpr std::uint64_t magic_number = 0x7374656b73746174;
    static constexpr std::uint32_t layout_version = 2;

    std::atomic<std::uint64_t> magic;
    std::atomic<std::uint32_t> version;
    std::atomic<std::int32_t> process;
    std::atomic<std::uint64_t> sealed, opened, renewed, token_errors;
    std::atomic<std::uint64_t> declined[decline_kinds];
    std::atomic<std::uint64_t> latency[latency_buckets];
    std::atomic<std::uint64_t> latency_sum_ns;
};

static_assert(sizeof(Counters::Block) == 240, "a new layout needs a new version");
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace stek
