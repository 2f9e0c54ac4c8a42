// What a vault's keys give to who is logged in to it.
#pragma once

#include "pkcs11/session.hpp"
#include "tests/traces/known_schedule.hpp"

#include <string>
#include <vector>

namespace stek::traces {

/// D(key, label) for each object of that pattern, which must be secret keys, read out.
std::vector<Key> children_of(pkcs11::Session& session, pkcs11::Attributes& pattern, const std::string& label);

}  // namespace stek::traces
