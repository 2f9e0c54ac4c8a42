// RSA public keys between PKCS#11 (modulus, exponent) and DER SubjectPublicKeyInfo (RFC 5280, 4.1.2.7).
#pragma once

#include "pkcs11/session.hpp"
#include "provider/key_ring.hpp"

#include <memory>
#include <vector>

#include <openssl/evp.h>

namespace stek {

/// A library context of our own, with OpenSSL's default provider and no configuration file: what the server
/// program configured has no say in the key schedule, and a provider that is being loaded is not re-entered.
/// Lives as long as the process.
OSSL_LIB_CTX* private_libctx();

using EvpPkey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

/// As CKA_MODULUS and CKA_PUBLIC_EXPONENT have them: big-endian, without leading zeros.
struct RsaNumbers {
    std::vector<std::uint8_t> modulus, exponent;
};
/// Throws std::invalid_argument unless `spki` is exactly one RSA key of 2048 to 8192 bits, with an odd
/// exponent that is not 1.
RsaNumbers rsa_numbers_of(Bytes spki);
/// The same as a key.
EvpPkey parse_rsa_spki(Bytes spki);
/// The public half of a pair in the token, from its CKA_MODULUS and CKA_PUBLIC_EXPONENT. Throws
/// pkcs11::TokenError.
std::vector<std::uint8_t> read_rsa_spki(pkcs11::Session& session, CK_OBJECT_HANDLE public_key);
/// A session object that can wrap (for derive_stek) and encrypt (to try OAEP hashes), nothing else.
pkcs11::ScopedObject import_rsa_public(pkcs11::Session& session, Bytes spki);

/// CKM_RSA_PKCS_OAEP with no label; MGF1 with the same hash. Holds what the mechanism points to.
class OaepMechanism {
  public:
    explicit OaepMechanism(OaepHash hash) noexcept;
    OaepMechanism(const OaepMechanism&) = delete;
    OaepMechanism& operator=(const OaepMechanism&) = delete;
    ~OaepMechanism() = default;
    [[nodiscard]] CK_MECHANISM& get() noexcept { return mechanism_; }

  private:
    CK_RSA_PKCS_OAEP_PARAMS params_{};
    CK_MECHANISM mechanism_{};
};

}  // namespace stek
