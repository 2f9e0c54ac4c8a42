// One stekd a token, whatever its state directory: a second one would take the first one's key pairs for
// strays and destroy them.
#pragma once

#include "provider/file.hpp"

#include <map>
#include <string>
#include <vector>

namespace stek::daemon {

/// Locks on the directories of tokens that are in files, held for this object's life; so they outlast the
/// sessions, which are closed and opened anew at each trouble. flock(2) on the directory itself is nothing
/// that SoftHSM, which locks files within by fcntl(2), or those who only look ever meet.
class TokenClaims {
  public:
    /// Nothing to do if it is held already, or if `directory` is empty: a token that is not in files. Throws
    /// AnotherStekd, std::system_error.
    void take(const std::string& directory);
    /// Gives back all others: a token that was lost, or that the configuration does not name any more.
    void keep_only(const std::vector<std::string>& directories);

  private:
    std::map<std::string, Fd> held_;  ///< by path
};

}  // namespace stek::daemon
