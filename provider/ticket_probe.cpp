// The enforcement probe. Each attempt is what a program that may use the ticket token could do to a STEK or
// to a pair. A test runs the same attempts on a pair without the design's templates, where they succeed: so
// none is refused merely for being malformed.
#include "provider/rsa_spki.hpp"
#include "provider/ticket_token.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <set>

#include <openssl/rand.h>
#include <openssl/rsa.h>

namespace stek {

namespace {

using pkcs11::Access;
using pkcs11::Attributes;
using pkcs11::Session;
using pkcs11::TokenError;

constexpr std::size_t stek_size = 32;
using Block = std::array<std::uint8_t, 16>;

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
        throw TokenError("the probe cannot encrypt to the pair's public key");
    out.resize(size);
    return out;
}

/// The designed template with one attribute replaced (by a value of the same size).
template <class T>
Attributes changed(Attributes key, CK_ATTRIBUTE_TYPE type, T value) {
    for (CK_ULONG i = 0; i < key.size(); ++i)
        if (key.data()[i].type == type && key.data()[i].ulValueLen == sizeof value)
            std::memcpy(key.data()[i].pValue, &value, sizeof value);
    return key;
}

Attributes helper_key() {
    Attributes key;
    key.number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_AES).number(CKA_VALUE_LEN, stek_size);
    key.flag(CKA_TOKEN, false).flag(CKA_PRIVATE, false).flag(CKA_SENSITIVE, false);
    key.flag(CKA_EXTRACTABLE, true).flag(CKA_WRAP, true).flag(CKA_UNWRAP, true);
    return key;
}

class Probe {
  public:
    Probe(Session& session, const TicketPair& pair);
    std::vector<ProbeResult> run();

  private:
    /// Returns whether it got what it tried for; a refusal may also be thrown.
    using Attempt = std::function<bool(Session&)>;
    void attempt(std::string what, const Attempt& act);
    void unwrap_otherwise();
    void use_pair_otherwise();
    void use_stek_otherwise();
    void change_and_copy();
    void must_work(const char* when);

    CK_OBJECT_HANDLE unwrap(Session& session, Attributes key, CK_MECHANISM_TYPE type = CKM_RSA_PKCS_OAEP);
    CK_OBJECT_HANDLE stek(Session& session) { return unwrap(session, unwrapped_stek_template()); }
    static CK_OBJECT_HANDLE helper(Session& session);
    static bool has(Session& session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, bool value);
    static bool readable(Session& session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
    static bool set(Session& session, CK_OBJECT_HANDLE object, Attributes changes);
    static bool encrypts(Session& session, CK_OBJECT_HANDLE key, CK_MECHANISM mechanism);
    static bool signs(Session& session, CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type);
    static bool derives(Session& session, CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type);
    bool decrypts(Session& session, CK_MECHANISM& mechanism, Bytes in);
    std::set<CK_OBJECT_HANDLE> token_objects();

    Session& session_;
    CK_OBJECT_HANDLE private_key_;
    OaepHash hash_;
    SecretArray<stek_size> value_;
    std::vector<std::uint8_t> oaep_, pkcs1_, raw_;
    std::vector<ProbeResult> results_;
};

Probe::Probe(Session& session, const TicketPair& pair)
    : session_(session),
      private_key_(find_ticket_pair(session, pair.id)),
      hash_(ticket_oaep_hash(session.shared_token())) {
    if (private_key_ == CK_INVALID_HANDLE)
        throw TokenError("the pair to probe is not in token " + session.token().label());
    const EvpPkey key = parse_rsa_spki(pair.spki);
    session.random(value_.span());
    oaep_ = seal_to(key.get(), value_.bytes(), RSA_PKCS1_OAEP_PADDING, hash_);
    pkcs1_ = seal_to(key.get(), value_.bytes(), RSA_PKCS1_PADDING, hash_);
    Secret padded(static_cast<std::size_t>(EVP_PKEY_get_size(key.get())));
    std::copy_n(value_.data(), stek_size, padded.data() + padded.size() - stek_size);
    raw_ = seal_to(key.get(), padded.bytes(), RSA_NO_PADDING, hash_);
}

std::set<CK_OBJECT_HANDLE> Probe::token_objects() {
    Attributes pattern;
    pattern.flag(CKA_TOKEN, true);
    const auto found = session_.find(pattern);
    return {found.begin(), found.end()};
}

std::vector<ProbeResult> Probe::run() {
    must_work("before");
    unwrap_otherwise();
    use_pair_otherwise();
    use_stek_otherwise();
    change_and_copy();
    must_work("after");
    return std::move(results_);
}

void Probe::attempt(std::string what, const Attempt& act) {
    ProbeResult result{std::move(what), true, "no effect"};
    const auto before = token_objects();
    try {
        // A session of its own: what fails may leave its session unusable.
        Session session(session_.shared_token(), Access::read_write);
        if (act(session)) {
            result.refused = false;
            result.answer = pkcs11::rv_name(CKR_OK);
        }
    } catch (const pkcs11::Error& error) {
        result.answer = pkcs11::rv_name(error.rv());
    }
    // SoftHSM leaves an object behind even where it refused the template of a token object (measured).
    for (const CK_OBJECT_HANDLE object : token_objects())
        if (!before.contains(object))
            session_.destroy(object);
    results_.push_back(std::move(result));
}

/// Refusals mean something only while the token does what it should.
void Probe::must_work(const char* when) {
    try {
        Session session(session_.shared_token(), Access::read_write);
        const CK_OBJECT_HANDLE key = stek(session);
        Block iv{}, plain{};
        std::array<std::uint8_t, 32> out{};
        CK_GCM_PARAMS params{iv.data(), 12, 96, nullptr, 0, 128};
        CK_MECHANISM mechanism{CKM_AES_GCM, &params, sizeof(params)};
        CK_RV rv = CKR_OK;
        session.encrypt(mechanism, key, plain, out, rv);
        pkcs11::check("C_Encrypt", rv, session.token().label());
    } catch (const pkcs11::Error& error) {
        throw TokenError(std::string("a STEK cannot be unwrapped and used ") + when +
                         " the probe: " + error.what());
    }
}

CK_OBJECT_HANDLE Probe::unwrap(Session& session, Attributes key, CK_MECHANISM_TYPE type) {
    OaepMechanism oaep(hash_);
    CK_MECHANISM plain{type, nullptr, 0};
    const bool is_oaep = type == CKM_RSA_PKCS_OAEP;
    const auto& wrapped = is_oaep ? oaep_ : type == CKM_RSA_PKCS ? pkcs1_ : raw_;
    return session.unwrap(is_oaep ? oaep.get() : plain, private_key_, wrapped, key);
}

CK_OBJECT_HANDLE Probe::helper(Session& session) {
    Attributes key = helper_key();
    CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
    return session.generate_key(mechanism, key);
}

bool Probe::has(Session& session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, bool value) {
    const auto got = session.attribute(object, type);
    return got && got->size() == 1 && (got->front() != 0) == value;
}

bool Probe::readable(Session& session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
    return !session.secret_attribute(object, type).empty();
}

bool Probe::set(Session& session, CK_OBJECT_HANDLE object, Attributes changes) {
    pkcs11::check("C_SetAttributeValue", session.token().module().functions().C_SetAttributeValue(
                                             session.handle(), object, changes.data(), changes.size()));
    return true;
}

bool Probe::encrypts(Session& session, CK_OBJECT_HANDLE key, CK_MECHANISM mechanism) {
    Block in{};
    std::array<std::uint8_t, 64> out{};
    CK_RV rv = CKR_OK;
    session.encrypt(mechanism, key, in, out, rv);
    pkcs11::check("C_Encrypt", rv);
    return true;
}

bool Probe::decrypts(Session& session, CK_MECHANISM& mechanism, Bytes in) {
    Secret out(in.size());
    CK_RV rv = CKR_OK;
    session.decrypt(mechanism, private_key_, in, out.span(), rv);
    pkcs11::check("C_Decrypt", rv);
    return true;
}

bool Probe::signs(Session& session, CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type) {
    CK_MECHANISM mechanism{type, nullptr, 0};
    pkcs11::check("C_SignInit",
                  session.token().module().functions().C_SignInit(session.handle(), &mechanism, key));
    return true;
}

bool Probe::derives(Session& session, CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type) {
    std::array<std::uint8_t, stek_size> data{};
    CK_AES_CBC_ENCRYPT_DATA_PARAMS cbc{};
    cbc.pData = data.data();
    cbc.length = data.size();
    CK_KEY_DERIVATION_STRING_DATA ecb{data.data(), data.size()};
    CK_MECHANISM mechanism = type == CKM_AES_CBC_ENCRYPT_DATA ? CK_MECHANISM{type, &cbc, sizeof cbc}
                                                              : CK_MECHANISM{type, &ecb, sizeof ecb};
    Attributes child = helper_key();
    session.derive(mechanism, key, child);
    return true;
}

void Probe::unwrap_otherwise() {
    struct Change {
        const char* attempt;
        CK_ATTRIBUTE_TYPE type;
        bool value;
    };
    static constexpr Change changes[] = {
        {"unwrap to an extractable key", CKA_EXTRACTABLE, true},
        {"unwrap to a key that is not sensitive", CKA_SENSITIVE, false},
        {"unwrap to a token object", CKA_TOKEN, true},
        {"unwrap to a key that derives", CKA_DERIVE, true},
        {"unwrap to a key that wraps", CKA_WRAP, true},
        {"unwrap to a key that unwraps", CKA_UNWRAP, true},
        {"unwrap to a key that signs", CKA_SIGN, true},
        {"unwrap to a key that verifies", CKA_VERIFY, true},
        {"unwrap to a copyable key", CKA_COPYABLE, true},
        {"unwrap to a modifiable key", CKA_MODIFIABLE, true},
    };
    for (const auto& [what, type, value] : changes)
        attempt(what, [&, type = type, value = value](Session& session) {
            const CK_BBOOL wanted = value ? CK_TRUE : CK_FALSE;
            return has(session, unwrap(session, changed(unwrapped_stek_template(), type, wanted)), type,
                       value);
        });
    attempt("unwrap to a generic secret", [&](Session& session) {
        unwrap(session, changed<CK_KEY_TYPE>(unwrapped_stek_template(), CKA_KEY_TYPE, CKK_GENERIC_SECRET));
        return true;
    });
    attempt("unwrap for AES-ECB", [&](Session& session) {
        const auto key = unwrap(session, changed<CK_MECHANISM_TYPE>(unwrapped_stek_template(),
                                                                    CKA_ALLOWED_MECHANISMS, CKM_AES_ECB));
        return encrypts(session, key, {CKM_AES_ECB, nullptr, 0});
    });
    attempt("unwrap with a bare template", [&](Session& session) {
        Attributes bare;
        bare.number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_AES).flag(CKA_TOKEN, false);
        bare.flag(CKA_PRIVATE, false);
        return encrypts(session, unwrap(session, std::move(bare)), {CKM_AES_ECB, nullptr, 0});
    });
    attempt("unwrap with PKCS#1 v1.5 padding", [&](Session& session) {
        unwrap(session, unwrapped_stek_template(), CKM_RSA_PKCS);
        return true;
    });
    attempt("unwrap without padding", [&](Session& session) {
        unwrap(session, unwrapped_stek_template(), CKM_RSA_X_509);
        return true;
    });
}

void Probe::use_pair_otherwise() {
    attempt("decrypt by OAEP with the pair", [&](Session& session) {
        OaepMechanism oaep(hash_);
        return decrypts(session, oaep.get(), oaep_);
    });
    attempt("decrypt by PKCS#1 v1.5 with the pair", [&](Session& session) {
        CK_MECHANISM mechanism{CKM_RSA_PKCS, nullptr, 0};
        return decrypts(session, mechanism, pkcs1_);
    });
    attempt("decrypt without padding with the pair", [&](Session& session) {
        CK_MECHANISM mechanism{CKM_RSA_X_509, nullptr, 0};
        return decrypts(session, mechanism, raw_);
    });
    attempt("sign with the pair",
            [&](Session& session) { return signs(session, private_key_, CKM_RSA_PKCS); });
    attempt("read the private exponent",
            [&](Session& session) { return readable(session, private_key_, CKA_PRIVATE_EXPONENT); });
    attempt("read a prime", [&](Session& session) { return readable(session, private_key_, CKA_PRIME_1); });
    attempt("wrap the pair's private half", [&](Session& session) {
        CK_MECHANISM mechanism{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
        return !session.wrap(mechanism, helper(session), private_key_).empty();
    });
}

void Probe::use_stek_otherwise() {
    attempt("read the STEK", [&](Session& session) { return readable(session, stek(session), CKA_VALUE); });
    attempt("wrap the STEK", [&](Session& session) {
        CK_MECHANISM mechanism{CKM_AES_KEY_WRAP, nullptr, 0};
        return !session.wrap(mechanism, helper(session), stek(session)).empty();
    });
    attempt("wrap another key with the STEK", [&](Session& session) {
        CK_MECHANISM mechanism{CKM_AES_KEY_WRAP, nullptr, 0};
        return !session.wrap(mechanism, stek(session), helper(session)).empty();
    });
    attempt("derive from the STEK by CBC",
            [&](Session& session) { return derives(session, stek(session), CKM_AES_CBC_ENCRYPT_DATA); });
    attempt("derive from the STEK by ECB",
            [&](Session& session) { return derives(session, stek(session), CKM_AES_ECB_ENCRYPT_DATA); });
    attempt("sign with the STEK",
            [&](Session& session) { return signs(session, stek(session), CKM_AES_CMAC); });
    attempt("encrypt by AES-ECB under the STEK", [&](Session& session) {
        return encrypts(session, stek(session), {CKM_AES_ECB, nullptr, 0});
    });
    attempt("encrypt by AES-CBC under the STEK", [&](Session& session) {
        Block iv{};
        return encrypts(session, stek(session), {CKM_AES_CBC, iv.data(), iv.size()});
    });
    attempt("encrypt by AES-CTR under the STEK", [&](Session& session) {
        CK_AES_CTR_PARAMS params{};
        params.ulCounterBits = 128;
        return encrypts(session, stek(session), {CKM_AES_CTR, &params, sizeof params});
    });
}

void Probe::change_and_copy() {
    const auto flag = [](CK_ATTRIBUTE_TYPE type, bool value) {
        Attributes one;
        one.flag(type, value);
        return one;
    };
    attempt("copy the STEK into the token", [&](Session& session) {
        Attributes changes = flag(CKA_TOKEN, true);
        session.copy(stek(session), changes);
        return true;
    });
    attempt("change the STEK's usage",
            [&](Session& session) { return set(session, stek(session), flag(CKA_DERIVE, true)); });
    attempt("copy the pair's private half", [&](Session& session) {
        Attributes changes = flag(CKA_TOKEN, false);
        session.copy(private_key_, changes);
        return true;
    });
    // The last ones: on a token that lets them, the pair is another afterwards.
    attempt("change the pair's mechanisms", [&](Session& session) {
        Attributes changes;
        changes.mechanisms({CKM_RSA_PKCS_OAEP, CKM_RSA_PKCS});
        return set(session, private_key_, std::move(changes));
    });
    attempt("change the pair's usage",
            [&](Session& session) { return set(session, private_key_, flag(CKA_DECRYPT, true)); });
}

}  // namespace

std::vector<ProbeResult> probe_pair(Session& read_write, const TicketPair& pair) {
    return Probe(read_write, pair).run();
}

std::vector<ProbeResult> probe_enforcement(Session& read_write, bool is_private) {
    struct Guard {
        Session& session;
        TicketPair pair;
        ~Guard() {
            try {
                destroy_ticket_pair(session, pair.id);
            } catch (const std::exception&) {  // listed by list_ticket_pairs(), so the next start removes it
            }
        }
    } const guard{read_write, make_ticket_pair(read_write, is_private)};
    return probe_pair(read_write, guard.pair);
}

bool enforced(const std::vector<ProbeResult>& results) noexcept {
    return !results.empty() && std::ranges::all_of(results, &ProbeResult::refused);
}

}  // namespace stek
