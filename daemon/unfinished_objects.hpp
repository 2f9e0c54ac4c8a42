// What a kill leaves of an object that SoftHSM was making or destroying.
#pragma once

#include <string>

namespace stek::daemon {

/// Removes it from a token's directory: object files with no attribute in them, RSA keys without a modulus
/// (SoftHSM writes a pair's attributes one by one, label and id last, so no search finds such a half), and
/// locks without an object. For the token's one writer, before it makes anything. Returns how many objects
/// and locks that was. Throws std::filesystem::filesystem_error, std::system_error.
unsigned remove_unfinished_objects(const std::string& token_directory);

}  // namespace stek::daemon
