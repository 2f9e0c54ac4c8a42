// Tells the journal why tickets are declined, seldom enough that a flood of them makes no flood of lines.
#pragma once

#include "provider/counters.hpp"

#include <atomic>
#include <cstdint>

namespace stek {

/// One process's. For each reason the first decline is told at once, the later ones together, a minute or
/// more after the last line, with the next decline. Lock-free and thread-safe; reads a word or two unless a
/// line is due.
class DeclineLog {
  public:
    static constexpr std::uint64_t seconds_between = 60;

    /// `now`: coarse_seconds().
    void declined(Decline why, std::uint64_t now) noexcept;

  private:
    struct Reason {
        std::atomic<std::uint64_t> untold{0};
        std::atomic<std::uint64_t> next_line{0};  ///< 0: none yet
    };
    Reason reasons_[static_cast<unsigned>(Decline::count_)];
};

}  // namespace stek
