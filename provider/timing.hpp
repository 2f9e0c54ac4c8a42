// Clocks that the ticket path may read thousands of times a second.
#pragma once

#include <cstdint>
#include <ctime>

namespace stek {

/// CLOCK_MONOTONIC_COARSE in seconds: a read of one word in the vDSO page.
inline std::uint64_t coarse_seconds() noexcept {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return static_cast<std::uint64_t>(now.tv_sec);
}

/// CLOCK_MONOTONIC_COARSE in milliseconds; ticks every 1 to 10 of them.
inline std::uint64_t coarse_milliseconds() noexcept {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000000;
}

/// Measures from its making.
class Stopwatch {
  public:
    Stopwatch() noexcept { clock_gettime(CLOCK_MONOTONIC, &begun_); }
    [[nodiscard]] std::uint64_t nanoseconds() const noexcept {
        timespec now{};
        clock_gettime(CLOCK_MONOTONIC, &now);
        return static_cast<std::uint64_t>((now.tv_sec - begun_.tv_sec) * 1'000'000'000LL +
                                          (now.tv_nsec - begun_.tv_nsec));
    }

  private:
    timespec begun_{};
};

}  // namespace stek
