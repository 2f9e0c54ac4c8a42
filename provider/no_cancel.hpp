// A thread is not cancelled in our midst.
#pragma once

#include <pthread.h>

namespace stek {

/// A server may pthread_cancel() a thread that is in a handshake. The unwinding that follows would meet a
/// noexcept function of ours and end the process: it waits until libssl goes on.
class NoCancel {
  public:
    NoCancel() noexcept { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
    ~NoCancel() { pthread_setcancelstate(before_, nullptr); }
    NoCancel(const NoCancel&) = delete;
    NoCancel& operator=(const NoCancel&) = delete;

  private:
    int before_ = PTHREAD_CANCEL_ENABLE;
};

}  // namespace stek
