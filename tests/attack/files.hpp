// Beside Cryptoki: files, sockets and stekd's process, as the server's user.
#pragma once

#include "tests/attack/attempts.hpp"

namespace stek::attack {

/// `directory` is the instance's, `stekd` its process.
void add_files(Attempts& to, const std::string& directory, const std::string& stekd);

}  // namespace stek::attack
