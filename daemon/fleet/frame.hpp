// The envelope of everything that goes over the engine: who signed it, for which fleet, and what it is.
//
//   offset  size
//        0     8  magic: "stek" and four letters for the kind
//        8     2  format version of the kind, big-endian as all numbers
//       10     2  zero
//       12     4  size of the whole frame, signature included
//       16    32  fleet id
//       48     4  number of the party that signed; 0: the root, or who asks for enrolment
//       52     n  body
//     52+n    64  ECDSA P-256 with SHA-256 over all before it: r, s (32 bytes each; IEEE P1363)
//
// Signature first, parsing after: nothing of a body is looked at before the frame's size, kind, fleet and
// signature are found good. Magic and version keep their places in every version.
#pragma once

#include "daemon/hpke_p256.hpp"
#include "pkcs11/secret.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace stek::fleet {

using hpke::Point;
using FleetId = std::array<std::uint8_t, 32>;  ///< SHA-256 of "stekd fleet v1" and the root key's point
using PartyNumber = std::uint32_t;
using Signature = std::array<std::uint8_t, 64>;  ///< r, s

enum class Kind : std::uint8_t { request, list, pre_key, bundle, pair, record };

/// Why a frame was not taken; what() is fit for a log and names the kind.
class FrameError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

inline constexpr std::size_t frame_head_size = 52, frame_overhead = frame_head_size + 64;

/// Bytes; a larger one is refused before anything of it is read.
std::size_t largest_frame(Kind kind) noexcept;

/// Signs SHA-256-wise: is given the bytes, hashes them itself. May throw what its token throws.
using Signer = std::function<Signature(Bytes)>;

struct FrameHead {
    Kind kind{};
    FleetId fleet{};
    PartyNumber signer = 0;
};

/// Throws std::invalid_argument if the body is too large, and what `sign` throws.
std::vector<std::uint8_t> make_frame(const FrameHead& head, Bytes body, const Signer& sign);

/// The head of what may be a frame of that kind and fleet: sizes, magic, version and fleet are good, the
/// signature is not looked at yet. Throws FrameError.
FrameHead peek_frame(Bytes frame, Kind kind, const FleetId& fleet);

/// The body, once all of the head and the signature by `key` are good. Throws FrameError.
Bytes open_frame(Bytes frame, Kind kind, const FleetId& fleet, const Point& key);

/// The body's hash as it is pinned: SHA-256 over the frame without its signature, for ECDSA signatures of the
/// same bytes differ each time.
std::array<std::uint8_t, 32> frame_hash(Bytes frame);

FleetId fleet_id_of(const Point& root);

/// ECDSA with a key in memory, or in a token through libp11. Throws FrameError.
Signature sign_with(EVP_PKEY* key, Bytes bytes);
bool verifies(const Point& key, Bytes bytes, const Signature& signature) noexcept;

}  // namespace stek::fleet
