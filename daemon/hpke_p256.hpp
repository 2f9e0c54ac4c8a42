// P-256 for DHKEM (RFC 9180, sections 4.1 and 7.1): points as bytes, and the key agreement.
//
// A point is uncompressed (SEC 1, section 2.3.3), 65 bytes: 04, x (32 bytes), y (32 bytes), big-endian. There
// is no other form here, and no point at infinity.
#pragma once

#include "pkcs11/secret.hpp"

#include <array>
#include <cstdint>
#include <memory>

#include <openssl/evp.h>

namespace stek::hpke {

using Point = std::array<std::uint8_t, 65>;

struct FreeKey {
    void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, FreeKey>;

/// A new key pair in memory; libcrypto wipes it when it goes.
KeyPtr make_key();

/// Validates as section 7.1.4 asks (SP 800-56A, section 5.6.2.3.4), which is all there is to validate: P-256
/// has no points of another order. Throws Error, which says `what` it is that was refused.
KeyPtr parse_point(Bytes point, const char* what);

/// The public half of a P-256 key in memory.
Point point_of(const EVP_PKEY* key);

/// The x-coordinate of own * peer. `peer` is parse_point()'s: it is not validated again. `own` may be a key
/// whose private half is in a token: nothing but EVP_PKEY_derive is asked of it. Throws Error if it is no
/// P-256 key, its token fails, or the result is not the coordinate of a point (section 7.1.4); with the
/// reason that libcrypto or libp11 queued.
void agree(EVP_PKEY* own, EVP_PKEY* peer, SecretArray<32>& x);

}  // namespace stek::hpke
