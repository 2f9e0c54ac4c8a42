// A mutex that a fork's child does not inherit from a thread that it does not have.
#pragma once

#include <atomic>
#include <mutex>
#include <pthread.h>

namespace stek {

/// For std::lock_guard. The forking thread holds it while the process forks; the fork handlers of the program
/// run meanwhile, before ours or after them, and may come back to us: it lets that thread pass.
class ForkMutex {
  public:
    ForkMutex() = default;
    ForkMutex(const ForkMutex&) = delete;
    ForkMutex& operator=(const ForkMutex&) = delete;

    void lock() {
        if (forking_.load(std::memory_order_relaxed) != pthread_self()) {
            mutex_.lock();
        }
    }
    void unlock() {
        if (forking_.load(std::memory_order_relaxed) != pthread_self()) {
            mutex_.unlock();
        }
    }
    /// For pthread_atfork(): before it, and after it in parent and child.
    void hold_for_fork() {
        mutex_.lock();
        forking_.store(pthread_self(), std::memory_order_relaxed);
    }
    void go_on() {
        forking_.store(0, std::memory_order_relaxed);
        mutex_.unlock();
    }

  private:
    std::mutex mutex_;
    std::atomic<pthread_t> forking_{0};  // the same in the child
};

}  // namespace stek
