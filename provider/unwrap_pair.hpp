// An RSA key pair in a token, made for one thing.
#pragma once

#include "pkcs11/attributes.hpp"
#include "pkcs11/secret.hpp"

#include <string_view>

namespace stek {

/// Token objects with this label and id.
struct UnwrapPair {
    std::string_view label;
    Bytes id;
    CK_ULONG modulus_bits = 0;
    bool is_private = true;  ///< CKA_PRIVATE of the private half: whether its use takes a login
};

/// Nothing in a token uses this half: who wraps has noted its SPKI.
pkcs11::Attributes public_half(const UnwrapPair& pair);
/// Can unwrap by RSA-OAEP, and nothing else, for ever: what it unwraps gets `unwrapped`
/// (CKA_UNWRAP_TEMPLATE).
pkcs11::Attributes private_half(const UnwrapPair& pair, pkcs11::Attributes unwrapped);

/// To find those of that label: CKO_PUBLIC_KEY or CKO_PRIVATE_KEY.
pkcs11::Attributes halves(CK_OBJECT_CLASS half, std::string_view label);

}  // namespace stek
