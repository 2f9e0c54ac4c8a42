// The keys of a stekd whose chain key and hourly keys the test has chosen, computed outside of any token.
#pragma once

#include "provider/key_ring.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace stek::traces {

using Key = std::array<std::uint8_t, 32>;

/// By the table in provider/schedule.cpp.
Key next_chain_key(const Key& chain);
/// All that stands between a chain key and a STEK.
struct Derivation {
    Key chain, mixed, hourly, secret, stek;
    KeyName name;
};
Derivation derive(const Key& chain, std::uint32_t revision, const Key& hourly);

/// A key to look for, and what it is: "STEK 495512.0".
using Needles = std::map<std::string, Key>;
void add_to(Needles& needles, const std::string& id, const Derivation& derivation);

}  // namespace stek::traces
