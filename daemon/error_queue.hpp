// libcrypto's queue of errors: it is empty when we begin, what it then says goes into our own error, and it
// is empty when we are done.
#pragma once

#include <string>

#include <openssl/err.h>

namespace stek {

struct EmptyQueue {
    EmptyQueue() noexcept { ERR_clear_error(); }
    EmptyQueue(const EmptyQueue&) = delete;
    EmptyQueue& operator=(const EmptyQueue&) = delete;
    ~EmptyQueue() { ERR_clear_error(); }
};

/// Of the error queued last, fit for a log.
inline std::string newest_reason() {
    const auto code = ERR_peek_last_error();
    const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
    return reason != nullptr ? reason : "no reason given";
}

}  // namespace stek
