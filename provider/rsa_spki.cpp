#include "provider/rsa_spki.hpp"

#include "provider/own_errors.hpp"

#include <stdexcept>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

namespace stek {

namespace {

using Bn = std::unique_ptr<BIGNUM, decltype(&BN_free)>;
constexpr int smallest_modulus = 2048;
constexpr int largest_modulus = 8192;

std::vector<std::uint8_t> number(const EVP_PKEY* key, const char* name) {
    BIGNUM* raw = nullptr;
    if (EVP_PKEY_get_bn_param(key, name, &raw) != 1)
        throw std::invalid_argument("wrap key: no RSA public key");
    const Bn bn(raw, BN_free);
    std::vector<std::uint8_t> out(static_cast<std::size_t>(BN_num_bytes(bn.get())));
    BN_bn2bin(bn.get(), out.data());
    return out;
}

EvpPkey rsa_from_numbers(Bytes modulus, Bytes exponent) {
    const Bn n(BN_bin2bn(modulus.data(), static_cast<int>(modulus.size()), nullptr), BN_free);
    const Bn e(BN_bin2bn(exponent.data(), static_cast<int>(exponent.size()), nullptr), BN_free);
    const std::unique_ptr<OSSL_PARAM_BLD, decltype(&OSSL_PARAM_BLD_free)> build(OSSL_PARAM_BLD_new(),
                                                                                OSSL_PARAM_BLD_free);
    if (!n || !e || !build || OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
        OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1)
        throw std::bad_alloc();
    const std::unique_ptr<OSSL_PARAM, decltype(&OSSL_PARAM_free)> params(OSSL_PARAM_BLD_to_param(build.get()),
                                                                         OSSL_PARAM_free);
    const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
        EVP_PKEY_CTX_new_from_name(private_libctx(), "RSA", nullptr), EVP_PKEY_CTX_free);
    EVP_PKEY* key = nullptr;
    if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
        EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1)
        throw pkcs11::TokenError("the token's RSA public key is not one that OpenSSL takes");
    return {key, EVP_PKEY_free};
}

}  // namespace

OSSL_LIB_CTX* private_libctx() {
    // Never freed: it may be in use by other threads while the process exits.
    static OSSL_LIB_CTX* const context = OSSL_LIB_CTX_new();
    if (context == nullptr)
        throw std::bad_alloc();
    return context;
}

EvpPkey parse_rsa_spki(Bytes spki) {
    const unsigned char* at = spki.data();
    const OwnErrors own;  // a parse error says nothing that the exception does not
    EvpPkey key(spki.empty()
                    ? nullptr
                    : d2i_PUBKEY_ex(nullptr, &at, static_cast<long>(spki.size()), private_libctx(), nullptr),
                EVP_PKEY_free);
    if (!key || at != spki.data() + spki.size() || EVP_PKEY_is_a(key.get(), "RSA") != 1)
        throw std::invalid_argument("wrap key: not one DER SubjectPublicKeyInfo of an RSA key");
    const int bits = EVP_PKEY_get_bits(key.get());
    if (bits < smallest_modulus || bits > largest_modulus)
        throw std::invalid_argument("wrap key: an RSA key of " + std::to_string(bits) +
                                    " bits, 2048 to 8192 are taken");
    return key;
}

std::vector<std::uint8_t> read_rsa_spki(pkcs11::Session& session, CK_OBJECT_HANDLE public_key) {
    const auto modulus = session.attribute(public_key, CKA_MODULUS);
    const auto exponent = session.attribute(public_key, CKA_PUBLIC_EXPONENT);
    if (!modulus || !exponent || modulus->empty() || exponent->empty())
        throw pkcs11::TokenError("token " + session.token().label() + " does not show an RSA public key");
    const EvpPkey key = rsa_from_numbers(*modulus, *exponent);
    unsigned char* der = nullptr;
    const int size = i2d_PUBKEY(key.get(), &der);
    if (size <= 0)
        throw std::bad_alloc();
    std::vector<std::uint8_t> out(der, der + size);
    OPENSSL_free(der);
    return out;
}

pkcs11::ScopedObject import_rsa_public(pkcs11::Session& session, Bytes spki) {
    const EvpPkey key = parse_rsa_spki(spki);
    pkcs11::Attributes object;
    object.number(CKA_CLASS, CKO_PUBLIC_KEY)
        .number(CKA_KEY_TYPE, CKK_RSA)
        .bytes(CKA_MODULUS, number(key.get(), OSSL_PKEY_PARAM_RSA_N))
        .bytes(CKA_PUBLIC_EXPONENT, number(key.get(), OSSL_PKEY_PARAM_RSA_E))
        .flag(CKA_TOKEN, false)
        .flag(CKA_PRIVATE, false)
        .flag(CKA_WRAP, true)
        .flag(CKA_ENCRYPT, true)
        .flag(CKA_VERIFY, false)
        .flag(CKA_VERIFY_RECOVER, false)
        .flag(CKA_DERIVE, false);
    return {session, session.create(object)};
}

OaepMechanism::OaepMechanism(OaepHash hash) noexcept {
    const bool sha256 = hash == OaepHash::sha256;
    params_.hashAlg = sha256 ? CKM_SHA256 : CKM_SHA_1;
    params_.mgf = sha256 ? CKG_MGF1_SHA256 : CKG_MGF1_SHA1;
    params_.source = CKZ_DATA_SPECIFIED;
    mechanism_ = {CKM_RSA_PKCS_OAEP, &params_, sizeof(params_)};
}

}  // namespace stek
