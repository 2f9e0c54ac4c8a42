// The envelope of everything that goes over the engine, or in a file from party to party: who signed it, for
// which fleet, and what it is. The byte table is in frame.cpp.
//
// Signature first, parsing after: nothing of a body is looked at before the frame's size, kind, fleet and
// signature are found good. Any thread may call anything in this directory's formats; libcrypto's queue of
// errors is emptied.
#pragma once

#include "daemon/hpke_p256.hpp"
#include "pkcs11/secret.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string_view>
#include <vector>

#include <openssl/evp.h>

namespace stek::fleet {

using hpke::Point;
using FleetId = std::array<std::uint8_t, 32>;  ///< SHA-256 of "stekd fleet v1" and the root key's point
using PartyNumber = std::uint32_t;
using Signature = std::array<std::uint8_t, 64>;  ///< r, s
using Digest = std::array<std::uint8_t, 32>;     ///< SHA-256

enum class Kind : std::uint8_t {
    request,
    list,
    pre_key,
    bundle,
    pair,
    record,
    ceremony_offer,
    ceremony_share
};

/// Why a frame was not taken; what() is fit for a log and names the kind.
class FrameError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

inline constexpr std::size_t frame_head_size = 52, frame_overhead = frame_head_size + 64;

/// For messages: "bundle".
const char* name_of(Kind kind) noexcept;

/// Bytes; a larger one is refused before anything of it is read.
std::size_t largest_frame(Kind kind) noexcept;

/// Signs SHA-256-wise: is given the bytes, hashes them itself. May throw what its token throws.
using Signer = std::function<Signature(Bytes)>;

struct FrameHead {
    Kind kind{};
    FleetId fleet{};
    PartyNumber signer = 0;  ///< 0 in a request; the root's (0) or a vault's in a list; else not 0
};

/// Throws std::invalid_argument if the body is too large or the signer is none for that kind, and what `sign`
/// throws.
std::vector<std::uint8_t> make_frame(const FrameHead& head, Bytes body, const Signer& sign);

/// The head of what may be a frame of that kind and fleet: sizes, magic, version and fleet are good, the
/// signature is not looked at yet. Throws FrameError.
FrameHead peek_frame(Bytes frame, Kind kind, const FleetId& fleet);

/// The body, once all of the head and the signature by `key` are good; a part of `frame`. Whose key that is
/// the caller looks up by peek_frame()'s signer. Throws FrameError.
Bytes open_frame(Bytes frame, Kind kind, const FleetId& fleet, const Point& key);

/// The same part, of a frame that was opened before. Nothing is looked at.
Bytes body_of(Bytes frame) noexcept;

/// The frame's hash as it is pinned: SHA-256 over it without its signature, for ECDSA signatures of the same
/// bytes differ each time. For frames that were opened or made; FrameError if it is too short to be one.
Digest frame_hash(Bytes frame);

FleetId fleet_id_of(const Point& root);

Digest sha256_of(Bytes bytes);

/// ECDSA with a P-256 key in memory, or in a token through libp11 (with the thread rules of who made it).
/// Throws FrameError.
Signature sign_with(EVP_PKEY* key, Bytes bytes);
/// False also for a key that is no point of P-256, and if libcrypto fails.
bool verifies(const Point& key, Bytes bytes, const Signature& signature) noexcept;

}  // namespace stek::fleet
