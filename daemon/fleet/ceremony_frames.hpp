// What the vaults of a location hand each other, once, to get the same chain: an offer to take it, and a
// share of it. They go in files, by hand.
#pragma once

#include "daemon/fleet/frame.hpp"
#include "provider/key_ring.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace stek::fleet {

using CeremonyNonce = std::array<std::uint8_t, 16>;  ///< one for each offer; random
/// What two chains of the same epoch are compared by: 16 bytes that C derives, which say nothing of it.
using ChainCheck = std::array<std::uint8_t, 16>;

/// A vault without a chain asks for one. The pair's private half is in its token, for this ceremony only.
struct CeremonyOffer {
    PartyNumber vault = 0;  ///< who must be the frame's signer too: the caller compares
    std::string location;
    CeremonyNonce nonce{};
    OaepHash oaep = OaepHash::sha1;        ///< what the vault's token unwraps with
    std::vector<std::uint8_t> public_key;  ///< DER SubjectPublicKeyInfo, RSA-3072, exponent 65537: 422 bytes
    bool operator==(const CeremonyOffer&) const = default;
};

/// The chain for one offer. The frame's signer is the vault that made it: one of the same location, and not
/// the one that it is for. The caller compares.
struct CeremonyShare {
    PartyNumber vault = 0;  ///< whom it is for
    std::string location;
    CeremonyNonce nonce{};    ///< the offer's
    std::uint64_t epoch = 0;  ///< that the chain begins with, from 1
    ChainCheck check{};
    OaepHash oaep = OaepHash::sha1;
    std::array<std::uint8_t, 384> wrapped{};  ///< the seed: C is one "chain" step from it
    bool operator==(const CeremonyShare&) const = default;
};

/// Bodies of frames, as in party.hpp.
std::vector<std::uint8_t> encode_offer(const CeremonyOffer& offer);
CeremonyOffer decode_offer(Bytes body);
std::vector<std::uint8_t> encode_share(const CeremonyShare& share);
CeremonyShare decode_share(Bytes body);

}  // namespace stek::fleet
