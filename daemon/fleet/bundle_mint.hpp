// A new hourly key, sealed to each vault of the fleet and signed.
#pragma once

#include "daemon/fleet/bundle.hpp"
#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/identity.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/plan.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace stek::fleet {

using FillRandom = std::function<void(std::span<std::uint8_t>)>;

/// Whom a bundle of an epoch is sealed to.
struct Recipients {
    std::vector<Recipient> all;
    std::vector<PartyNumber> without_pre_key;  ///< of them: sealed to by their long-lived key
    std::vector<std::string> troubles;         ///< pre-keys that are not good, vaults left out
};

/// The active vaults, by their pre-keys for the epoch where the engine has good ones. A vault whose keys are
/// all bad is left out: it must not keep the bundle from the others. Throws EngineError.
Recipients recipients_for(std::uint64_t epoch, const KnownLists& lists, Engine& engine);

/// The frame. The hourly key is gone when this returns. Throws hpke::Error, FrameError and what `fill`
/// throws.
std::vector<std::uint8_t> mint(KeyId key, const Digest& before, const std::vector<Recipient>& recipients,
                               const Identity& self, PartyNumber own, const daemon::Policy& policy,
                               const FillRandom& fill);

}  // namespace stek::fleet
