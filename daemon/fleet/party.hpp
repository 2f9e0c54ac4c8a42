// Who is who in a fleet: the parties, their keys and the lists that say so.
//
// Trust goes one way. The root key, which is in no machine that runs, signs the fleet's list: origins and the
// vaults of locations. A vault signs its location's list: that location's machines. Everybody is handed the
// fleet's id, which is the hash of the root key, when he is enrolled; the engine may lose, hold back or
// repeat what is signed, but not make anything up. A list with a lower serial than one already seen is a
// replay.
#pragma once

#include "daemon/fleet/frame.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stek::fleet {

enum class Role : std::uint8_t { origin = 1, vault = 2, machine = 3 };
enum class Standing : std::uint8_t { active = 1, retired = 2 };

/// 1 to 64 bytes of [A-Za-z0-9_-]: no dot, for it is part of engine keys.
bool is_party_name(std::string_view text) noexcept;

/// One origin, vault or machine.
struct Party {
    PartyNumber number = 0;  ///< from 1; given by who signs the list, never given again in it
    Role role = Role::origin;
    Standing standing = Standing::active;
    std::string name;      ///< see is_party_name(); unique in its list
    std::string location;  ///< as KeyRing::location; empty for an origin
    Point signing_key{};   ///< verifies what it signs (ECDSA P-256)
    Point sealing_key{};   ///< its long-lived HPKE key (RFC 9180); all zero for an origin
    bool operator==(const Party&) const = default;
};

/// The fleet's list (signed by the root: origins and vaults) or a location's (signed by one of its vaults:
/// its machines). That the frame's signer is 0 for the one and a vault of that location for the other, the
/// caller compares.
struct PartyList {
    std::uint64_t serial = 0;    ///< from 1; one more with each change
    std::int64_t signed_at = 0;  ///< Unix seconds; for people to read
    std::string location;        ///< whose machines; empty: the fleet's list
    std::vector<Party> parties;  ///< in rising order of number; at most max_parties
    bool operator==(const PartyList&) const = default;

    static constexpr std::size_t max_parties = 7900;  ///< what fits into one value of the engine

    [[nodiscard]] const Party* find(PartyNumber number) const noexcept;
    [[nodiscard]] const Party* find(std::string_view name) const noexcept;
};

/// What a new party asks for: its own word for its keys, signed with the signing key itself (so that nobody
/// enrols another's). A person compares the fingerprint and approves.
struct EnrolmentRequest {
    Role role = Role::origin;
    std::string name, location;
    Point signing_key{}, sealing_key{};
    bool operator==(const EnrolmentRequest&) const = default;
};

/// For people to compare: SHA-256 over the request's frame body, its first 16 bytes as 8 groups of 4
/// hexadecimal digits with a hyphen between them. std::invalid_argument as encode_request().
std::string fingerprint(const EnrolmentRequest& request);
/// The same of any digest.
std::string in_groups(const Digest& digest);

/// Bodies of frames (see frame.hpp). encode: std::invalid_argument for what decode would refuse. decode:
/// FrameError. The keys of a list are not looked at further than that they may be points: that is done when
/// one is used, and who signed the list has done it. Those of a request are points of P-256.
std::vector<std::uint8_t> encode_list(const PartyList& list);
PartyList decode_list(Bytes body);
std::vector<std::uint8_t> encode_request(const EnrolmentRequest& request);
EnrolmentRequest decode_request(Bytes body);
/// The request in a frame that is signed with the very key it asks for. Throws FrameError.
EnrolmentRequest open_request(Bytes frame, const FleetId& fleet);

}  // namespace stek::fleet
