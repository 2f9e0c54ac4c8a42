// The caller's error queue is not ours to write to.
#pragma once

#include <openssl/err.h>

namespace stek {

/// Takes the errors that libcrypto has queued during its life out of this thread's queue: a server would log
/// them as its own, or take them for a failed handshake (SSL_get_error()).
class OwnErrors {
  public:
    OwnErrors() noexcept { ERR_set_mark(); }
    ~OwnErrors() { ERR_pop_to_mark(); }
    OwnErrors(const OwnErrors&) = delete;
    OwnErrors& operator=(const OwnErrors&) = delete;
};

}  // namespace stek
