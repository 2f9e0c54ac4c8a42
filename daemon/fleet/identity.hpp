// A party's own keys, and what it does with them.
#pragma once

#include "daemon/fleet/party.hpp"
#include "daemon/fleet/token_keys.hpp"

#include <optional>
#include <string>
#include <vector>

namespace stek::fleet {

/// Who this process is, in one role. Keys are in a token (TokenKeys) or, in tests, in memory. One thread at a
/// time.
struct Identity {
    FleetId fleet{};
    Role role = Role::origin;
    std::string name, location;
    TokenKey signing;
    std::optional<TokenKey> sealing;  ///< not an origin's

    /// A frame of this party's, as the list numbers it. Throws FrameError, std::invalid_argument.
    [[nodiscard]] std::vector<std::uint8_t> sign(Kind kind, PartyNumber own, Bytes body) const;
    /// This party in the list: of that name and role, with these keys, active. Nothing if it is not in it.
    [[nodiscard]] const Party* in(const PartyList& list) const noexcept;
    [[nodiscard]] EnrolmentRequest request() const;
};

}  // namespace stek::fleet
