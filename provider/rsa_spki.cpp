#include "provider/rsa_spki.hpp"

#include "provider/own_errors.hpp"

#include <bit>
#include <optional>
#include <stdexcept>
#include <utility>

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/objects.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

namespace stek {

namespace {

using Bn = std::unique_ptr<BIGNUM, decltype(&BN_free)>;
constexpr std::size_t smallest_modulus = 2048;  // bits
constexpr std::size_t largest_modulus = 8192;
constexpr char not_rsa[] = "wrap key: not one DER SubjectPublicKeyInfo of an RSA key";

Bn number_of(Bytes bytes) {
    return {BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr), BN_free};
}

/// Null if OpenSSL does not take them.
EvpPkey rsa_from_numbers(const Bn& n, const Bn& e) {
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
        return {nullptr, EVP_PKEY_free};
    return {key, EVP_PKEY_free};
}

// --- DER ---

struct FreeSequence {
    void operator()(ASN1_SEQUENCE_ANY* sequence) const noexcept {
        sk_ASN1_TYPE_pop_free(sequence, ASN1_TYPE_free);
    }
};
using Sequence = std::unique_ptr<ASN1_SEQUENCE_ANY, FreeSequence>;

/// Two elements of these types and nothing behind them, or null.
Sequence sequence_of_two(Bytes der, int first, int second) {
    // Of a tag's bits, d2i_ASN1_SEQUENCE_ANY() lets one be as it is.
    if (der.empty() || der.front() != (V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED))
        return nullptr;
    const unsigned char* at = der.data();
    Sequence sequence(d2i_ASN1_SEQUENCE_ANY(nullptr, &at, static_cast<long>(der.size())));
    const auto is = [&](int index, int type) {
        return ASN1_TYPE_get(sk_ASN1_TYPE_value(sequence.get(), index)) == type;
    };
    if (!sequence || at != der.data() + der.size() || sk_ASN1_TYPE_num(sequence.get()) != 2 ||
        !is(0, first) || !is(1, second))
        return nullptr;
    return sequence;
}

Bytes content_of(const ASN1_TYPE* element) {
    const auto* string = element->value.asn1_string;
    return {ASN1_STRING_get0_data(string), static_cast<std::size_t>(ASN1_STRING_length(string))};
}

Bn number_in(const ASN1_TYPE* element) {
    return {ASN1_INTEGER_to_BN(element->value.integer, nullptr), BN_free};
}

std::vector<std::uint8_t> bytes_of(const Bn& number) {
    std::vector<std::uint8_t> out(static_cast<std::size_t>(BN_num_bytes(number.get())));
    BN_bn2bin(number.get(), out.data());
    return out;
}

/// RFC 3279, 2.3.1. Nothing for anything else. d2i_PUBKEY_ex() does the same through OpenSSL's decoders, and
/// takes fifteen times as long (3.0): 85 us, which is more than to wrap a key to the pair.
std::optional<RsaNumbers> numbers_in_spki(Bytes spki) {
    constexpr int unused_bits = 0x07;
    const auto outer = sequence_of_two(spki, V_ASN1_SEQUENCE, V_ASN1_BIT_STRING);
    if (!outer)
        return {};
    const auto* key = sk_ASN1_TYPE_value(outer.get(), 1);
    const auto algorithm =
        sequence_of_two(content_of(sk_ASN1_TYPE_value(outer.get(), 0)), V_ASN1_OBJECT, V_ASN1_NULL);
    const auto numbers = sequence_of_two(content_of(key), V_ASN1_INTEGER, V_ASN1_INTEGER);
    if (!algorithm || !numbers || (key->value.bit_string->flags & unused_bits) != 0 ||
        OBJ_obj2nid(sk_ASN1_TYPE_value(algorithm.get(), 0)->value.object) != NID_rsaEncryption)
        return {};
    const auto n = number_in(sk_ASN1_TYPE_value(numbers.get(), 0)),
               e = number_in(sk_ASN1_TYPE_value(numbers.get(), 1));
    if (!n || !e || BN_is_negative(n.get()) == 1 || BN_is_negative(e.get()) == 1)
        return {};
    return RsaNumbers{bytes_of(n), bytes_of(e)};
}

std::size_t bits_of(Bytes modulus) noexcept {
    return modulus.empty() ? 0
                           : modulus.size() * 8 - static_cast<std::size_t>(std::countl_zero(modulus.front()));
}

}  // namespace

OSSL_LIB_CTX* private_libctx() {
    // Never freed: it may be in use by other threads while the process exits.
    static OSSL_LIB_CTX* const context = OSSL_LIB_CTX_new();
    if (context == nullptr)
        throw std::bad_alloc();
    return context;
}

RsaNumbers rsa_numbers_of(Bytes spki) {
    const OwnErrors own;  // a parse error says nothing that the exception does not
    auto numbers = numbers_in_spki(spki);
    if (!numbers)
        throw std::invalid_argument(not_rsa);
    static const std::vector<std::uint8_t> one{1};
    const auto bits = bits_of(numbers->modulus);
    if (bits < smallest_modulus || bits > largest_modulus)
        throw std::invalid_argument("wrap key: an RSA key of " + std::to_string(bits) +
                                    " bits, 2048 to 8192 are taken");
    // Who has the key wrapped to an exponent of 1 has it in the clear.
    if (numbers->exponent.empty() || (numbers->exponent.back() & 1) == 0 || numbers->exponent == one)
        throw std::invalid_argument("wrap key: an RSA key with an exponent that is even or 1");
    return std::move(*numbers);
}

EvpPkey parse_rsa_spki(Bytes spki) {
    const OwnErrors own;
    const auto numbers = rsa_numbers_of(spki);
    auto key = rsa_from_numbers(number_of(numbers.modulus), number_of(numbers.exponent));
    if (!key)
        throw std::invalid_argument(not_rsa);
    return key;
}

std::vector<std::uint8_t> read_rsa_spki(pkcs11::Session& session, CK_OBJECT_HANDLE public_key) {
    const auto modulus = session.attribute(public_key, CKA_MODULUS);
    const auto exponent = session.attribute(public_key, CKA_PUBLIC_EXPONENT);
    if (!modulus || !exponent || modulus->empty() || exponent->empty())
        throw pkcs11::TokenError("token " + session.token().label() + " does not show an RSA public key");
    const auto key = rsa_from_numbers(number_of(*modulus), number_of(*exponent));
    if (!key)
        throw pkcs11::TokenError("the token's RSA public key is not one that OpenSSL takes");
    unsigned char* der = nullptr;
    const int size = i2d_PUBKEY(key.get(), &der);
    if (size <= 0)
        throw std::bad_alloc();
    std::vector<std::uint8_t> out(der, der + size);
    OPENSSL_free(der);
    return out;
}

pkcs11::ScopedObject import_rsa_public(pkcs11::Session& session, Bytes spki) {
    const auto numbers = rsa_numbers_of(spki);
    pkcs11::Attributes object;
    object.number(CKA_CLASS, CKO_PUBLIC_KEY)
        .number(CKA_KEY_TYPE, CKK_RSA)
        .bytes(CKA_MODULUS, numbers.modulus)
        .bytes(CKA_PUBLIC_EXPONENT, numbers.exponent)
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
