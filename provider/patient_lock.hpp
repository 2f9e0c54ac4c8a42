// Locks that are waited for, but not for ever: a call to a token can hang.
#pragma once

#include <chrono>
#include <mutex>
#include <thread>

namespace stek {

inline constexpr std::chrono::milliseconds wait_for_other_thread{50};

/// Unlocked if another thread held it all that time. Polled: it is contended at changes only, and the
/// ThreadSanitizer of GCC 12 does not see the pthread_mutex_clocklock() of std::timed_mutex.
inline std::unique_lock<std::mutex> lock_for_a_while(
    std::mutex& mutex, std::chrono::milliseconds patience = wait_for_other_thread) {
    std::unique_lock lock(mutex, std::try_to_lock);
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!lock && std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
        static_cast<void>(lock.try_lock());
    }
    return lock;
}

}  // namespace stek
