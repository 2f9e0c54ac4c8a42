// The refusal of a second stekd.
#pragma once

#include <stdexcept>

namespace stek::daemon {

/// Another stekd works in the same state directory, or in the same token. what() names its process, where
/// that is known. It may be a `stekd --check`, which ends soon.
class AnotherStekd : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

}  // namespace stek::daemon
