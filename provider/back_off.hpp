// How long a failing token is left alone, so that it holds up no handshake meanwhile.
#pragma once

#include "provider/timing.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace stek {

/// 0.1 s after the first failure, doubling up to 5 s, and no shorter than the call that failed. All
/// thread-safe and lock-free; counts in coarse milliseconds.
class BackOff {
  public:
    /// Left alone now.
    [[nodiscard]] bool resting() const noexcept {
        return rest_ms_.load(std::memory_order_relaxed) != 0 &&
               coarse_milliseconds() < until_ms_.load(std::memory_order_relaxed);
    }
    /// The last try failed too.
    [[nodiscard]] bool failing_again() const noexcept { return rest_ms_.load(std::memory_order_relaxed) > 0; }
    /// `took_ms`: what the failed call cost; a token that hangs is not to hang the next handshake too. True
    /// if this is the first failure since it worked: worth saying.
    bool failed(std::uint64_t took_ms) noexcept {
        const auto rest = std::clamp(std::max(rest_ms_.load() * 2, took_ms), shortest_ms, longest_ms);
        until_ms_.store(coarse_milliseconds() + rest);
        rest_ms_.store(rest);
        return !down_.exchange(true);
    }
    /// True if it had failed before: worth saying.
    bool worked() noexcept {
        if (!down_.load(std::memory_order_relaxed)) {
            return false;
        }
        rest_ms_.store(0, std::memory_order_relaxed);
        return down_.exchange(false);
    }

  private:
    static constexpr std::uint64_t shortest_ms = 100;
    static constexpr std::uint64_t longest_ms = 5000;
    std::atomic<std::uint64_t> rest_ms_{0};
    std::atomic<std::uint64_t> until_ms_{0};
    std::atomic<bool> down_{false};
};

}  // namespace stek
