// What a kill leaves of an object that SoftHSM was making or destroying.
#pragma once

#include <string>

namespace stek::daemon {

/// Removes it from a token's directory: locks without an object, and objects whose CKA_TOKEN is not true yet.
/// That is what SoftHSM writes last, with the label and the id, when it makes a key or copies one into the
/// token: before, no search finds it, and a copied chain key would lie there for good. For the token's one
/// writer, before it makes anything. Returns how many files that was. Throws
/// std::filesystem::filesystem_error, std::system_error.
unsigned remove_unfinished_objects(const std::string& token_directory);

}  // namespace stek::daemon
