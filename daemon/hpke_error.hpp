#pragma once

#include <stdexcept>

namespace stek::hpke {

/// A key, an encapsulated key or a ciphertext is not what it has to be, or libcrypto or the token failed. The
/// text is fit for a log: it holds no secret and no byte of what was given.
class Error : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace stek::hpke
