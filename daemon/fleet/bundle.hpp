// What origins send to locations: pre-keys come from vaults, bundles go to them.
#pragma once

#include "daemon/fleet/frame.hpp"
#include "daemon/plan.hpp"
#include "pkcs11/secret.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace stek::fleet {

using daemon::KeyId;
using HourlyKey = SecretArray<32>;

/// A vault's HPKE key for one epoch. Its private half is made in the vault token and destroyed together with
/// the chain key of that epoch, so that a copy of the vault opens no bundle of later pre-keys.
struct PreKey {
    PartyNumber vault = 0;    ///< who must be the frame's signer too: the caller compares
    std::uint64_t epoch = 0;  ///< from 1
    Point key{};
    bool operator==(const PreKey&) const = default;
};

/// One vault's share of a bundle.
struct SealedHourly {
    PartyNumber vault = 0;
    std::uint32_t pre_key =
        0;  ///< the low 32 bits of the pre-key's epoch; 0: sealed to the vault's long-lived key
    Point enc{};
    std::array<std::uint8_t, 48> sealed{};
    bool operator==(const SealedHourly&) const = default;
};

/// The hourly key of one (epoch, revision), sealed to each vault of the fleet.
struct Bundle {
    KeyId key;
    std::int64_t not_before = 0, not_after = 0;  ///< Unix seconds: the epoch's window, not empty
    Digest hourly_hash{};  ///< SHA-256 of "stekd hourly v1" and H: all vaults got the same one
    Digest before{};       ///< frame_hash() of the bundle that its origin knew as the last; for audit only
    std::vector<SealedHourly> shares;  ///< in rising order of vault, each once; at most max_shares
    bool operator==(const Bundle&) const = default;

    static constexpr std::size_t max_shares = 8192;
};

/// A vault to seal to.
struct Recipient {
    PartyNumber vault = 0;
    std::uint32_t pre_key = 0;
    Point key{};
};

Digest hash_of_hourly(const HourlyKey& hourly);
/// Sets `shares`, one for each recipient (given in any order, HPKE with the bundle's head and the share's
/// numbers as AAD), and `hourly_hash`; all else must be set before. Nothing is changed if it throws:
/// std::invalid_argument (a recipient twice, or what encode_bundle() would refuse), hpke::Error (also if one
/// recipient's key is no point of P-256; those of pre-keys that were decoded are).
void seal_shares(Bundle& bundle, const FleetId& fleet, PartyNumber origin, const HourlyKey& hourly,
                 const std::vector<Recipient>& recipients);
/// Opens one share with the key it was sealed to, and compares with the hash. Throws hpke::Error, FrameError;
/// `out` is then as it was.
void open_share(const Bundle& bundle, const SealedHourly& share, const FleetId& fleet, PartyNumber origin,
                EVP_PKEY* key, const Point& public_key, HourlyKey& out);

/// Bodies of frames, as in party.hpp. A pre-key's key is a point of P-256, for one that is not would keep a
/// bundle from all. A share's enc is looked at when it is opened.
std::vector<std::uint8_t> encode_pre_key(const PreKey& pre_key);
PreKey decode_pre_key(Bytes body);
std::vector<std::uint8_t> encode_bundle(const Bundle& bundle);
Bundle decode_bundle(Bytes body);

}  // namespace stek::fleet
