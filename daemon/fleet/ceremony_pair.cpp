#include "daemon/fleet/ceremony_pair.hpp"

#include "provider/rsa_spki.hpp"
#include "provider/unwrap_pair.hpp"

#include <string_view>

namespace stek::fleet {
namespace {

using pkcs11::Attributes;

constexpr std::string_view pair_label = "stekd ceremony pair";
constexpr CK_ULONG modulus_bits = 3072;

// Also the pair's CKA_UNWRAP_TEMPLATE. Without CKA_VALUE_LEN, which may not be given (PKCS#11 2.40 current
// mechanisms, table 88, note 6: SoftHSM answers CKR_ATTRIBUTE_READ_ONLY).
Attributes seed_template() {
    Attributes key;
    key.number(CKA_CLASS, CKO_SECRET_KEY)
        .number(CKA_KEY_TYPE, CKK_AES)
        .flag(CKA_TOKEN, false)
        .flag(CKA_PRIVATE, true)
        .flag(CKA_SENSITIVE, true)
        .flag(CKA_EXTRACTABLE, false)
        .flag(CKA_DERIVE, true)
        .flag(CKA_ENCRYPT, false)
        .flag(CKA_DECRYPT, false)
        .flag(CKA_SIGN, false)
        .flag(CKA_VERIFY, false)
        .flag(CKA_WRAP, false)
        .flag(CKA_UNWRAP, false)
        .mechanisms({CKM_AES_CBC_ENCRYPT_DATA})
        .flag(CKA_COPYABLE, false)
        .flag(CKA_MODIFIABLE, false);
    return key;
}

}  // namespace

std::vector<std::uint8_t> make_ceremony_pair(pkcs11::Session& vault, const CeremonyNonce& nonce) {
    // Nothing in the token uses the public half: the first vault wraps, to what the offer says.
    const UnwrapPair wanted{pair_label, nonce, modulus_bits};
    Attributes public_key = public_half(wanted), private_key = private_half(wanted, seed_template());
    CK_MECHANISM mechanism{CKM_RSA_PKCS_KEY_PAIR_GEN, nullptr, 0};
    return read_rsa_spki(vault, vault.generate_key_pair(mechanism, public_key, private_key).public_key);
}

CK_OBJECT_HANDLE find_ceremony_pair(pkcs11::Session& vault, const CeremonyNonce& nonce) {
    Attributes pattern = halves(CKO_PRIVATE_KEY, pair_label);
    pattern.bytes(CKA_ID, nonce);
    const auto found = vault.find(pattern);
    return found.size() == 1 ? found.front() : CK_INVALID_HANDLE;
}

pkcs11::ScopedObject unwrap_seed(pkcs11::Session& vault, CK_OBJECT_HANDLE pair, OaepHash oaep,
                                 Bytes wrapped) {
    OaepMechanism mechanism(oaep);
    Attributes seed = seed_template();
    return {vault, vault.unwrap(mechanism.get(), pair, wrapped, seed)};
}

// Private first: a kill in between leaves a public half, which opens nothing and is still found.
void destroy_ceremony_pairs(pkcs11::Session& vault) {
    for (const CK_OBJECT_CLASS half : {CKO_PRIVATE_KEY, CKO_PUBLIC_KEY}) {
        Attributes pattern = halves(half, pair_label);
        for (const CK_OBJECT_HANDLE object : vault.find(pattern))
            vault.destroy(object);
    }
}

}  // namespace stek::fleet
