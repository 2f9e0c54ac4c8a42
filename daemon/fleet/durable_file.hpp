// Files of the state directory that must be there after a power cut, whole.
#pragma once

#include "pkcs11/secret.hpp"

#include <string>
#include <vector>

namespace stek::fleet {

/// DIR/NAME, 0600, old or new but never in between; durable on return. One writer at a time. Throws
/// std::system_error.
void replace_durably(const std::string& directory, const std::string& name, Bytes content);
/// The removal is durable on return. Nothing happens if there is none. Throws std::system_error.
void remove_durably(const std::string& directory, const std::string& name);
/// No more than `most` bytes and one, by which a file that is too large can be told. Throws
/// std::system_error.
std::vector<std::uint8_t> read_up_to(const std::string& path, std::size_t most);

}  // namespace stek::fleet
