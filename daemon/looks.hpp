// Single looks that `stekd --check` and `stekctl doctor` both take. None changes anything.
#pragma once

#include "pkcs11/token.hpp"

#include <memory>
#include <span>
#include <string>

namespace stek::daemon {

/// Finds the token and what it must offer, without logging in. Returns "LABEL, serial SERIAL". Throws
/// pkcs11::TokenError, pkcs11::Error.
std::string look_at_token(const std::shared_ptr<pkcs11::Module>& module, const pkcs11::TokenUri& uri,
                          std::span<const pkcs11::NeededMechanism> mechanisms,
                          const std::string& preferred_serial = {});

/// Returns the directory's name. Throws std::runtime_error: there is none, or this process may not write to
/// it.
std::string look_at_directory(const std::string& directory);

/// True also where it cannot be told: there is no such directory.
bool is_on_tmpfs(const std::string& directory);

}  // namespace stek::daemon
