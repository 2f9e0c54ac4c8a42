#include "provider/probe_acts.hpp"

#include <array>
#include <string_view>

#include <openssl/rsa.h>

namespace stek::probe {

using pkcs11::Attributes;
using pkcs11::Session;

namespace {

using Block = std::array<std::uint8_t, 16>;
constexpr CK_ULONG key_size = 32;
constexpr std::string_view left_label = "stekd probe";

Attributes readable_template() {
    Attributes key;
    key.number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_AES).number(CKA_VALUE_LEN, key_size);
    key.flag(CKA_TOKEN, false).flag(CKA_PRIVATE, false).flag(CKA_SENSITIVE, false);
    key.flag(CKA_EXTRACTABLE, true).flag(CKA_WRAP, true).flag(CKA_UNWRAP, true);
    return key;
}

}  // namespace

std::vector<std::uint8_t> seal_to(EVP_PKEY* key, Bytes value, int padding, OaepHash hash) {
    const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
        EVP_PKEY_CTX_new_from_pkey(private_libctx(), key, nullptr), EVP_PKEY_CTX_free);
    const char* md = hash == OaepHash::sha256 ? "SHA256" : "SHA1";
    std::vector<std::uint8_t> out(static_cast<std::size_t>(EVP_PKEY_get_size(key)));
    std::size_t size = out.size();
    if (!context || EVP_PKEY_encrypt_init(context.get()) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(context.get(), padding) != 1 ||
        (padding == RSA_PKCS1_OAEP_PADDING &&
         (EVP_PKEY_CTX_set_rsa_oaep_md_name(context.get(), md, nullptr) != 1 ||
          EVP_PKEY_CTX_set_rsa_mgf1_md_name(context.get(), md, nullptr) != 1)) ||
        EVP_PKEY_encrypt(context.get(), out.data(), &size, value.data(), value.size()) != 1)
        throw pkcs11::TokenError("the probe cannot encrypt to the pair's public key");
    out.resize(size);
    return out;
}

CK_OBJECT_HANDLE helper_key(Session& session) {
    Attributes key = readable_template();
    CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
    return session.generate_key(mechanism, key);
}

bool has(Session& session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, bool value) {
    const auto got = session.attribute(object, type);
    return got && got->size() == 1 && (got->front() != 0) == value;
}

bool readable(Session& session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
    return !session.secret_attribute(object, type).empty();
}

bool set(Session& session, CK_OBJECT_HANDLE object, Attributes changes) {
    pkcs11::check("C_SetAttributeValue", session.token().module().functions().C_SetAttributeValue(
                                             session.handle(), object, changes.data(), changes.size()));
    return true;
}

bool encrypts(Session& session, CK_OBJECT_HANDLE key, CK_MECHANISM mechanism) {
    Block in{};
    std::array<std::uint8_t, 64> out{};
    CK_RV rv = CKR_OK;
    session.encrypt(mechanism, key, in, out, rv);
    pkcs11::check("C_Encrypt", rv);
    return true;
}

bool encrypts_gcm(Session& session, CK_OBJECT_HANDLE key) {
    Block iv{};
    CK_GCM_PARAMS params{iv.data(), 12, 96, nullptr, 0, 128};
    return encrypts(session, key, {CKM_AES_GCM, &params, sizeof params});
}

bool decrypts(Session& session, CK_OBJECT_HANDLE key, CK_MECHANISM& mechanism, Bytes in) {
    Secret out(in.size());
    CK_RV rv = CKR_OK;
    session.decrypt(mechanism, key, in, out.span(), rv);
    pkcs11::check("C_Decrypt", rv);
    return true;
}

bool signs(Session& session, CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type) {
    CK_MECHANISM mechanism{type, nullptr, 0};
    pkcs11::check("C_SignInit",
                  session.token().module().functions().C_SignInit(session.handle(), &mechanism, key));
    return true;
}

bool derives(Session& session, CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type) {
    std::array<std::uint8_t, key_size> data{};
    CK_AES_CBC_ENCRYPT_DATA_PARAMS cbc{};
    cbc.pData = data.data();
    cbc.length = data.size();
    CK_KEY_DERIVATION_STRING_DATA ecb{data.data(), data.size()};
    CK_MECHANISM mechanism = type == CKM_AES_CBC_ENCRYPT_DATA ? CK_MECHANISM{type, &cbc, sizeof cbc}
                                                              : CK_MECHANISM{type, &ecb, sizeof ecb};
    Attributes child = readable_template();
    session.derive(mechanism, key, child);
    return true;
}

Attributes marked(Attributes key) {
    Attributes with_label;  // first, for nothing may follow CKA_MODIFIABLE=false
    with_label.text(CKA_LABEL, left_label);
    for (CK_ULONG i = 0; i < key.size(); ++i) {
        const CK_ATTRIBUTE& one = key.data()[i];
        with_label.bytes(one.type, {static_cast<const std::uint8_t*>(one.pValue), one.ulValueLen});
    }
    return with_label;
}

// Whoever else uses the token meanwhile keeps what he made: a pair of stekd has a label, and before that,
// half-written, it is no secret key.
std::set<CK_OBJECT_HANDLE> Attempts::left_behind() {
    const auto is_empty = [&](CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
        const auto value = session_.attribute(object, type);
        return value && value->empty();
    };
    Attributes labelled, secret;
    labelled.flag(CKA_TOKEN, true).text(CKA_LABEL, left_label);
    const auto found = session_.find(labelled);
    std::set<CK_OBJECT_HANDLE> left{found.begin(), found.end()};
    secret.flag(CKA_TOKEN, true).number(CKA_CLASS, CKO_SECRET_KEY);
    for (const CK_OBJECT_HANDLE object : session_.find(secret))
        if (is_empty(object, CKA_LABEL) && is_empty(object, CKA_ID))
            left.insert(object);
    return left;
}

void Attempts::add(std::string what, const Act& act) {
    ProbeResult result{std::move(what), true, "no effect"};
    const auto before = left_behind();
    try {
        // A session of its own: what fails may leave its session unusable.
        Session session(session_.shared_token(), pkcs11::Access::read_write);
        if (act(session)) {
            result.refused = false;
            result.answer = pkcs11::rv_name(CKR_OK);
        }
    } catch (const pkcs11::Error& error) {
        result.answer = pkcs11::rv_name(error.rv());
    }
    // SoftHSM leaves an object behind even where it refused the template of a token object (measured): a
    // secret key without label and id.
    for (const CK_OBJECT_HANDLE object : left_behind())
        if (!before.contains(object))
            session_.destroy(object);
    results_.push_back(std::move(result));
}

}  // namespace stek::probe
