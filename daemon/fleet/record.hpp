// What locations and machines send each other: a machine's public keys, and STEKs wrapped to them.
#pragma once

#include "daemon/fleet/frame.hpp"
#include "daemon/plan.hpp"
#include "provider/key_ring.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace stek::fleet {

/// The public half of an RSA pair that a machine made in its ticket token. The private half dies with the
/// records that are wrapped to it.
struct MachinePair {
    PartyNumber machine = 0;  ///< who must be the frame's signer too: the caller compares
    std::string location;
    std::uint64_t epoch =
        0;  ///< the first epoch that it is for; shared for short periods (Policy::pair_slot)
    PairId pair{};
    OaepHash oaep = OaepHash::sha1;        ///< what the machine's ticket token unwraps with
    std::vector<std::uint8_t> public_key;  ///< DER SubjectPublicKeyInfo, RSA-2048 to RSA-8192
    bool operator==(const MachinePair&) const = default;
};

/// A STEK for one machine.
struct MachineRecord {
    std::string location;
    PartyNumber machine = 0;
    std::uint64_t counter =
        0;  ///< from 1; the signing vault's, rising with each record it makes; a machine takes none twice
    daemon::KeyId key;
    std::int64_t not_before = 0, seal_until = 0, open_until = 0;  ///< Unix seconds
    std::uint64_t period = 3600;                                  ///< seconds per epoch
    KeyName name{};
    Point enc{};                                          ///< HPKE to the machine's sealing key:
    std::array<std::uint8_t, 48> sealed_admission_key{};  ///< the admission key (32 bytes) and the tag
    PairId pair{};
    OaepHash oaep = OaepHash::sha1;
    std::vector<std::uint8_t> wrapped_key;  ///< 256 to 1024 bytes
    bool revoked =
        false;  ///< the key is to be forgotten at once; wrapped_key is empty, enc and sealed are zero
    bool operator==(const MachineRecord&) const = default;
};

/// HPKE with the record's other fields as AAD, which must all be set before. Sets `enc` and
/// `sealed_admission_key`. Throws hpke::Error; std::invalid_argument for a revoked record and what
/// encode_record() would refuse. The record is then as it was.
void seal_admission_key(MachineRecord& record, const FleetId& fleet, const Point& machine_key,
                        const SecretArray<admission_key_size>& admission_key);
/// Throws hpke::Error, and FrameError for a revoked record; `out` is then as it was.
void open_admission_key(const MachineRecord& record, const FleetId& fleet, EVP_PKEY* machine_key,
                        const Point& machine_public, SecretArray<admission_key_size>& out);

/// Bodies of frames, as in party.hpp. A pair's public key is an RSA key of the right size; a record's enc is
/// looked at when the admission key is opened.
std::vector<std::uint8_t> encode_pair(const MachinePair& pair);
MachinePair decode_pair(Bytes body);
/// What decode_pair() would say the pair's id is, of which nothing else is looked at. Throws FrameError.
PairId peek_pair_id(Bytes body);
std::vector<std::uint8_t> encode_record(const MachineRecord& record);
MachineRecord decode_record(Bytes body);

}  // namespace stek::fleet
