#include "provider/unwrap_pair.hpp"

#include <array>
#include <cstdint>
#include <utility>

namespace stek {

namespace {

constexpr std::array<std::uint8_t, 3> f4{0x01, 0x00, 0x01};

}  // namespace

pkcs11::Attributes public_half(const UnwrapPair& pair) {
    pkcs11::Attributes key;
    key.number(CKA_CLASS, CKO_PUBLIC_KEY)
        .number(CKA_KEY_TYPE, CKK_RSA)
        .number(CKA_MODULUS_BITS, pair.modulus_bits)
        .bytes(CKA_PUBLIC_EXPONENT, f4)
        .flag(CKA_TOKEN, true)
        .flag(CKA_PRIVATE, false)
        .bytes(CKA_ID, pair.id)
        .text(CKA_LABEL, pair.label)
        .flag(CKA_ENCRYPT, false)
        .flag(CKA_VERIFY, false)
        .flag(CKA_VERIFY_RECOVER, false)
        .flag(CKA_WRAP, false)
        .flag(CKA_DERIVE, false);
    return key;
}

pkcs11::Attributes private_half(const UnwrapPair& pair, pkcs11::Attributes unwrapped) {
    pkcs11::Attributes key;
    key.number(CKA_CLASS, CKO_PRIVATE_KEY)
        .number(CKA_KEY_TYPE, CKK_RSA)
        .flag(CKA_TOKEN, true)
        .flag(CKA_PRIVATE, pair.is_private)
        .bytes(CKA_ID, pair.id)
        .text(CKA_LABEL, pair.label)
        .flag(CKA_SENSITIVE, true)
        .flag(CKA_EXTRACTABLE, false)
        .flag(CKA_UNWRAP, true)
        .flag(CKA_DECRYPT, false)
        .flag(CKA_SIGN, false)
        .flag(CKA_SIGN_RECOVER, false)
        .flag(CKA_DERIVE, false)
        .mechanisms({CKM_RSA_PKCS_OAEP})
        .nested(CKA_UNWRAP_TEMPLATE, std::move(unwrapped))
        .flag(CKA_COPYABLE, false)
        .flag(CKA_MODIFIABLE, false);
    return key;
}

pkcs11::Attributes halves(CK_OBJECT_CLASS half, std::string_view label) {
    pkcs11::Attributes pattern;
    pattern.number(CKA_CLASS, half).flag(CKA_TOKEN, true).text(CKA_LABEL, label);
    return pattern;
}

}  // namespace stek
