// What happened to tickets in this process: counters in a small file that stekd adds up.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace stek {

/// Why a ticket was not opened, or not made. The names in counters.cpp are what status and metrics show.
enum class Decline : unsigned {
    no_ring,
    no_key_to_seal,
    unknown_key,
    expired_key,
    foreign,  ///< not for where the connection ends: HMAC admission failed (forged, or another audience;
              ///< counted as a guess when the callback handed out a key and no cipher update followed); or it
              ///< is not known where it will end, beside client authentication; or it ended elsewhere than
              ///< expected
    bad_tag,
    too_old,
    no_audience,
    token_down,
    key_limit,
    malformed,
    count_
};

/// Latency buckets of the tickets measured (one in eight), upper bounds in microseconds; the last is
/// unbounded.
inline constexpr std::uint64_t latency_bounds_us[] = {5,   10,   20,   50,    100,    200,
                                                      500, 1000, 5000, 50000, 1000000};

/// The counters of one process, in a MAP_SHARED file `<dir>/<pid>.<start time>` (0640), or in private memory
/// where no directory is given or it cannot be written. The mapping holds a shared lock on the file: that,
/// not a list of processes, says who lives. The layout is one fixed struct with a magic and version; 64-bit
/// relaxed atomics. Of one process: a fork's child makes its own. All increments are lock-free and never
/// fail.
class Counters {
  public:
    struct Block;  ///< the file's layout, defined in counters_block.hpp with its byte table
    /// The file is made when the first event is counted: a worker drops privileges after its master loaded
    /// us.
    explicit Counters(std::string directory);
    ~Counters();
    Counters(const Counters&) = delete;
    Counters& operator=(const Counters&) = delete;
    /// Where the file could not be made, or was removed since (stekd was stopped), the next event makes one;
    /// what was counted in private memory until then is lost. For now and then: a stat().
    void look_for_file() noexcept;
    void sealed() noexcept;
    void opened() noexcept;
    void renewed() noexcept;
    void declined(Decline why) noexcept;
    void token_error() noexcept;
    void latency(std::uint64_t nanoseconds) noexcept;

  private:
    Block& counting() noexcept;
    std::string directory_;
    std::atomic<Block*> block_{nullptr};
    std::atomic<bool> told_{false};  ///< that there is no file
};

/// The sum over a directory's files, and of those that are gone (files of dead processes are folded into
/// `<dir>/retired` by stekd's collect()).
struct CounterTotals {
    std::uint64_t sealed = 0, opened = 0, renewed = 0, token_errors = 0, processes = 0;
    std::vector<std::uint64_t> declined;  ///< indexed by Decline
    std::vector<std::uint64_t> latency;   ///< per bucket, one more than bounds
    std::uint64_t latency_sum_ns = 0;     ///< of the same tickets
};
const char* decline_name(Decline why) noexcept;
/// Reads all files; with `fold`, dead processes' files are added to `retired` and removed. Noise in the
/// directory is passed over. Throws std::system_error only if the directory cannot be read.
CounterTotals collect_counters(const std::string& directory, bool fold);

}  // namespace stek
