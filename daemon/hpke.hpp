// Hybrid public key encryption: bytes sealed to the holder of a P-256 key (RFC 9180, base mode, single shot).
// The suite is DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
//
// Who sealed is not proved: what holds the sealed bytes has to be signed. Nothing is kept between calls, and
// any thread may call; a recipient's key in a token brings the thread rules of who made its EVP_PKEY.
// libcrypto's queue of errors is emptied: what it has to say is in the Error.
#pragma once

#include "daemon/hpke_error.hpp"
#include "daemon/hpke_p256.hpp"
#include "pkcs11/secret.hpp"

#include <cstdint>
#include <vector>

#include <openssl/evp.h>

namespace stek::hpke {

inline constexpr std::size_t tag_size = 16;

struct Sealed {
    Point enc;                             ///< the ephemeral public key
    std::vector<std::uint8_t> ciphertext;  ///< as long as the plaintext, and the tag
};

/// Seals `plaintext` (below 2 GiB, may be empty; so may info and aad) to the holder of `recipient_public` (65
/// bytes), with a new ephemeral key, which is gone afterwards (section 6.1). Throws Error.
Sealed seal(Bytes recipient_public, Bytes info, Bytes aad, Bytes plaintext);

/// The plaintext. `recipient` is borrowed; its private half may be in a token. `recipient_public` (65 bytes)
/// is its public half, which a token need not give. Throws Error: if `enc` is not a point, if the token
/// fails, or, without saying which it was, if key, info, aad, enc or ciphertext are not those of the sealing.
Secret open(EVP_PKEY* recipient, Bytes recipient_public, Bytes enc, Bytes info, Bytes aad, Bytes ciphertext);

/// For vectors: what they fix is chosen by the caller.
namespace internal {

enum class Aead : std::uint16_t { aes_128_gcm = 1, aes_256_gcm = 2 };  // section 7.3

/// As seal(). An ephemeral key that is used twice gives away what is sealed: never outside a test.
Sealed seal(Aead aead, EVP_PKEY* ephemeral, Bytes recipient_public, Bytes info, Bytes aad, Bytes plaintext);
Secret open(Aead aead, EVP_PKEY* recipient, Bytes recipient_public, Bytes enc, Bytes info, Bytes aad,
            Bytes ciphertext);

}  // namespace internal
}  // namespace stek::hpke
