// The RSA-3072 pair that a vault makes for one ceremony: its private half can do one thing, unwrap a seed
// that can do one thing.
#pragma once

#include "daemon/fleet/ceremony_frames.hpp"
#include "pkcs11/session.hpp"

#include <cstdint>
#include <vector>

namespace stek::fleet {

/// Token objects, CKA_LABEL "stekd ceremony pair", CKA_ID the nonce. Returns the public half, DER
/// SubjectPublicKeyInfo. Takes 0.1 to 2 s. Throws pkcs11::Error, TokenError.
std::vector<std::uint8_t> make_ceremony_pair(pkcs11::Session& vault, const CeremonyNonce& nonce);

/// The private half, or CK_INVALID_HANDLE.
CK_OBJECT_HANDLE find_ceremony_pair(pkcs11::Session& vault, const CeremonyNonce& nonce);

/// The seed as a session object: sensitive, not extractable, nothing but CKA_DERIVE.
pkcs11::ScopedObject unwrap_seed(pkcs11::Session& vault, CK_OBJECT_HANDLE pair, OaepHash oaep, Bytes wrapped);

/// All there are, half-made ones too.
void destroy_ceremony_pairs(pkcs11::Session& vault);

}  // namespace stek::fleet
