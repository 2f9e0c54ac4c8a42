// What the design forbids: a pair that can do everything, with a STEK whose bytes are known, in a token that
// anyone may write to. Attempts must succeed here, or their refusal elsewhere shows nothing.
#pragma once

#include "tests/fixtures/process.hpp"
#include "tests/fixtures/softhsm.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace stek::attack {

class WeakToken {
  public:
    WeakToken();
    [[nodiscard]] const std::vector<std::uint8_t>& stek() const noexcept { return stek_; }
    [[nodiscard]] std::string ring_file() const { return softhsm_.directory() / "keyring"; }
    [[nodiscard]] test::Environment environment() const { return {{"SOFTHSM2_CONF", softhsm_.conf()}}; }

  private:
    tests::SoftHsm softhsm_;
    std::vector<std::uint8_t> stek_;
};

}  // namespace stek::attack
