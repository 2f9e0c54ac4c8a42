// Threads that are started meanwhile inherit the mask: signals are for those that the program has set up for
// them.
#pragma once

#include <csignal>

namespace stek {

/// Blocks all signals of this thread for as long as it lives.
class NoSignals {
  public:
    NoSignals() noexcept {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    NoSignals(const NoSignals&) = delete;
    NoSignals& operator=(const NoSignals&) = delete;
    ~NoSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  private:
    sigset_t before_{};
};

}  // namespace stek
