// What a unit's LimitFSIZE=0 makes of a token's module that writes to a file.
#pragma once

#include <csignal>
#include <ctime>

namespace stek {

/// Where a thread writes beyond RLIMIT_FSIZE, SIGXFSZ ends the process. During the life of this object the
/// write only fails. (SoftHSM writes when objects come and go, as far as the server's user may.)
class FileSizeSignal {
  public:
    FileSizeSignal() noexcept {
        sigemptyset(&signal_);
        sigaddset(&signal_, SIGXFSZ);
        pthread_sigmask(SIG_BLOCK, &signal_, &before_);
    }
    ~FileSizeSignal() {
        if (sigismember(&before_, SIGXFSZ) == 0) {
            const timespec at_once{};
            sigtimedwait(&signal_, nullptr, &at_once);
            pthread_sigmask(SIG_SETMASK, &before_, nullptr);
        }
    }
    FileSizeSignal(const FileSizeSignal&) = delete;
    FileSizeSignal& operator=(const FileSizeSignal&) = delete;

  private:
    sigset_t signal_{}, before_{};
};

}  // namespace stek
