// What stekd waits for, told as it goes, so that what hangs can be named.
#pragma once

#include <functional>

namespace stek::daemon {

enum class Awaited : unsigned char {
    token,   ///< a call of a PKCS#11 module, or a few; each may take an RSA pair's time
    engine,  ///< a call of a fleet's engine
};

/// To be called before each piece of work that may take long, with what it will wait for; from then on that
/// is what is timed. May be empty.
using Progress = std::function<void(Awaited)>;

inline void tell(const Progress& progress, Awaited what) {
    if (progress)
        progress(what);
}

}  // namespace stek::daemon
