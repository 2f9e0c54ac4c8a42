// Whoever can write to the engine: what he can sign, and what he finds there.
#pragma once

#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/fleet_tokens.hpp"
#include "daemon/fleet/frame.hpp"
#include "daemon/fleet/identity.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace stek::tests {

using Frame = std::vector<std::uint8_t>;

/// Something that the engine holds.
struct InEngine {
    std::string bucket, key;
    fleet::Kind kind;
};

/// All that the buckets of these locations and those of all hold now.
std::vector<InEngine> all_in(fleet::Engine& engine, const std::vector<std::string>& locations);

/// Who signs, and for which fleet.
struct Forger {
    fleet::FleetId fleet{};
    EVP_PKEY* key = nullptr;                   ///< borrowed
    std::optional<fleet::PartyNumber> number;  ///< none: whoever the frame says
};
/// What the frame says, signed by him.
Frame signed_by(const Forger& forger, fleet::Kind kind, const Frame& frame);

/// A party's tokens, while its stekd rests: one at a time in a process.
class PartyTokens {
  public:
    explicit PartyTokens(const std::string& config)
        : config_(fleet::load_fleet_config(config)), tokens_(config_, claims_) {}
    [[nodiscard]] fleet::Identity identity(const fleet::FleetId& fleet) const;
    [[nodiscard]] const fleet::FleetTokens& operator*() const noexcept { return tokens_; }

  private:
    fleet::FleetConfig config_;
    daemon::TokenClaims claims_;
    fleet::FleetTokens tokens_;
};

}  // namespace stek::tests
