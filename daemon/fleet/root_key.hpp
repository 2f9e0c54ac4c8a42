// The root's public key, as a file that parties are handed.
#pragma once

#include "daemon/fleet/frame.hpp"

#include <string>

namespace stek::fleet {

/// A PEM file with one SubjectPublicKeyInfo of a P-256 key. Throws ConfigError naming the file.
Point read_root_key(const std::string& path);

/// Such a file, 0644; replaces. Throws std::system_error, hpke::Error.
void write_root_key(const std::string& path, const Point& root);

}  // namespace stek::fleet
