// A spare copy of SoftHSM's token.object. Each login rewrites that file, by truncating it first: a kill in
// between leaves it empty and the token unusable (seen in one of a hundred kills at the start). Only this
// file is kept, never a key's: a copy of one would bring destroyed chain keys back.
#pragma once

#include "daemon/token_claims.hpp"

#include <string>
#include <vector>

namespace stek::daemon {

/// Copies <token_directory>/token.object to <state>/tokens/ (0700, files 0600) if it is not empty and differs
/// from the copy. It is as secret as the token's directory is. Throws std::system_error.
void back_up_token(const std::string& token_directory, const std::string& state);

/// Removes the copies of all tokens but these: a ticket token lives on a tmpfs, each boot has another.
void drop_other_copies(const std::vector<std::string>& token_directories, const std::string& state);

/// Puts back each copy whose token.object is empty now. To be called by the one writer, before C_Initialize.
/// Claims each of these first, for one that another stekd has in its hands may be empty for a moment. Returns
/// the directories that were mended. Throws AnotherStekd, std::system_error.
std::vector<std::string> mend_tokens(const std::string& softhsm_conf, const std::string& state,
                                     TokenClaims& claims);

}  // namespace stek::daemon
