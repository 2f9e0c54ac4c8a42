// What is in an instance's tokens, seen from outside stekd while it does not run.
#pragma once

#include "daemon/config.hpp"
#include "provider/vault.hpp"

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace stek::test {

/// Where the vault's chain stands. Logs in to it, in this process, and leaves the module finalised: the vault
/// opens. Throws pkcs11::Error, TokenError.
std::optional<ChainPosition> chain_position(const daemon::Config& config);

/// Files that a quiet life of this instance would not leave: unfinished ones, empty or ownerless objects,
/// more than one chain key, more pairs than the state knows. Empty: all is in order.
std::vector<std::string> leftovers(const daemon::Config& config);

}  // namespace stek::test
