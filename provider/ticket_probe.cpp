// The enforcement probe. Each attempt is what a program that may use the ticket token could do to a STEK or
// to a pair. A test runs the same attempts on a pair and keys without the design's templates, where they
// succeed: so none is refused merely for being malformed.
#include "provider/probe_acts.hpp"

#include <algorithm>
#include <array>

#include <openssl/rsa.h>

namespace stek {

namespace {

using pkcs11::Attributes;
using pkcs11::Session;
using pkcs11::TokenError;
using namespace probe;

constexpr std::size_t stek_size = 32;
// What a token lets be done with a pair does not hang on its size. This one wraps no key and is thrown away,
// and stekd waits for it at each start: it takes a third of the time that a pair of 3072 bits takes.
constexpr unsigned probe_bits = 2048;

class Probe {
  public:
    Probe(Session& session, const TicketPair& pair, StekTemplate stek_template);
    std::vector<ProbeResult> run();

  private:
    void unwrap_otherwise();
    void use_pair_otherwise();
    void use_stek_otherwise();
    void change_and_copy();
    void must_work(const char* when);
    CK_OBJECT_HANDLE unwrap(Session& session, Attributes key, CK_MECHANISM_TYPE type = CKM_RSA_PKCS_OAEP);
    CK_OBJECT_HANDLE stek(Session& session) { return unwrap(session, stek_template_()); }

    Session& session_;
    Attempts attempts_;
    StekTemplate stek_template_;
    CK_OBJECT_HANDLE private_key_;
    OaepHash hash_;
    SecretArray<stek_size> value_;
    std::vector<std::uint8_t> oaep_, pkcs1_, raw_;
};

Probe::Probe(Session& session, const TicketPair& pair, StekTemplate stek_template)
    : session_(session),
      attempts_(session),
      stek_template_(stek_template),
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

std::vector<ProbeResult> Probe::run() {
    must_work("before");
    unwrap_otherwise();
    use_pair_otherwise();
    use_stek_otherwise();
    change_and_copy();
    must_work("after");
    return attempts_.take();
}

/// Refusals mean something only while the token does what it should.
void Probe::must_work(const char* when) {
    try {
        Session session(session_.shared_token(), pkcs11::Access::read_write);
        encrypts_gcm(session, stek(session));
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
        attempts_.add(what, [&, type = type, value = value](Session& session) {
            const CK_BBOOL wanted = value ? CK_TRUE : CK_FALSE;
            return has(session, unwrap(session, marked(changed(unwrapped_stek_template(), type, wanted))),
                       type, value);
        });
    // Checked against the first of the two, made by the last, or the other way round.
    for (const auto& [what, first] : {std::pair{"unwrap with attributes twice, the right ones first", false},
                                      std::pair{"unwrap with attributes twice, the right ones last", true}})
        attempts_.add(what, [&, first = first](Session& session) {
            Attributes twice;
            twice.number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_AES).flag(CKA_TOKEN, false);
            twice.flag(CKA_PRIVATE, false);
            for (const bool loose : {first, !first})
                twice.flag(CKA_SENSITIVE, !loose).flag(CKA_EXTRACTABLE, loose).flag(CKA_WRAP, loose);
            const auto key = unwrap(session, std::move(twice));
            return has(session, key, CKA_EXTRACTABLE, true) || has(session, key, CKA_WRAP, true) ||
                   readable(session, key, CKA_VALUE);
        });
    attempts_.add("unwrap to a generic secret", [&](Session& session) {
        unwrap(session, changed<CK_KEY_TYPE>(unwrapped_stek_template(), CKA_KEY_TYPE, CKK_GENERIC_SECRET));
        return true;
    });
    attempts_.add("unwrap for AES-ECB", [&](Session& session) {
        const auto key = unwrap(session, changed<CK_MECHANISM_TYPE>(unwrapped_stek_template(),
                                                                    CKA_ALLOWED_MECHANISMS, CKM_AES_ECB));
        return encrypts(session, key, {CKM_AES_ECB, nullptr, 0});
    });
    attempts_.add("unwrap with a bare template", [&](Session& session) {
        Attributes bare;
        bare.number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_AES).flag(CKA_TOKEN, false);
        bare.flag(CKA_PRIVATE, false);
        return encrypts(session, unwrap(session, std::move(bare)), {CKM_AES_ECB, nullptr, 0});
    });
    attempts_.add("unwrap with PKCS#1 v1.5 padding", [&](Session& session) {
        unwrap(session, unwrapped_stek_template(), CKM_RSA_PKCS);
        return true;
    });
    attempts_.add("unwrap without padding", [&](Session& session) {
        unwrap(session, unwrapped_stek_template(), CKM_RSA_X_509);
        return true;
    });
}

void Probe::use_pair_otherwise() {
    attempts_.add("decrypt by OAEP with the pair", [&](Session& session) {
        OaepMechanism oaep(hash_);
        return decrypts(session, private_key_, oaep.get(), oaep_);
    });
    attempts_.add("decrypt by PKCS#1 v1.5 with the pair", [&](Session& session) {
        CK_MECHANISM mechanism{CKM_RSA_PKCS, nullptr, 0};
        return decrypts(session, private_key_, mechanism, pkcs1_);
    });
    attempts_.add("decrypt without padding with the pair", [&](Session& session) {
        CK_MECHANISM mechanism{CKM_RSA_X_509, nullptr, 0};
        return decrypts(session, private_key_, mechanism, raw_);
    });
    attempts_.add("sign with the pair",
                  [&](Session& session) { return signs(session, private_key_, CKM_RSA_PKCS); });
    attempts_.add("read the private exponent",
                  [&](Session& session) { return readable(session, private_key_, CKA_PRIVATE_EXPONENT); });
    attempts_.add("read a prime",
                  [&](Session& session) { return readable(session, private_key_, CKA_PRIME_1); });
    attempts_.add("wrap the pair's private half", [&](Session& session) {
        CK_MECHANISM mechanism{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
        return !session.wrap(mechanism, helper_key(session), private_key_).empty();
    });
}

void Probe::use_stek_otherwise() {
    attempts_.add("read the STEK",
                  [&](Session& session) { return readable(session, stek(session), CKA_VALUE); });
    attempts_.add("wrap the STEK", [&](Session& session) {
        CK_MECHANISM mechanism{CKM_AES_KEY_WRAP, nullptr, 0};
        return !session.wrap(mechanism, helper_key(session), stek(session)).empty();
    });
    attempts_.add("wrap another key with the STEK", [&](Session& session) {
        CK_MECHANISM mechanism{CKM_AES_KEY_WRAP, nullptr, 0};
        return !session.wrap(mechanism, stek(session), helper_key(session)).empty();
    });
    attempts_.add("derive from the STEK by CBC", [&](Session& session) {
        return derives(session, stek(session), CKM_AES_CBC_ENCRYPT_DATA);
    });
    attempts_.add("derive from the STEK by ECB", [&](Session& session) {
        return derives(session, stek(session), CKM_AES_ECB_ENCRYPT_DATA);
    });
    attempts_.add("sign with the STEK",
                  [&](Session& session) { return signs(session, stek(session), CKM_AES_CMAC); });
    attempts_.add("encrypt by AES-ECB under the STEK", [&](Session& session) {
        return encrypts(session, stek(session), {CKM_AES_ECB, nullptr, 0});
    });
    attempts_.add("encrypt by AES-CBC under the STEK", [&](Session& session) {
        std::array<std::uint8_t, 16> iv{};
        return encrypts(session, stek(session), {CKM_AES_CBC, iv.data(), iv.size()});
    });
    attempts_.add("encrypt by AES-CTR under the STEK", [&](Session& session) {
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
    attempts_.add("copy the STEK into the token", [&](Session& session) {
        Attributes changes = marked(flag(CKA_TOKEN, true));
        session.copy(stek(session), changes);
        return true;
    });
    attempts_.add("change the STEK's usage",
                  [&](Session& session) { return set(session, stek(session), flag(CKA_DERIVE, true)); });
    attempts_.add("copy the pair's private half", [&](Session& session) {
        Attributes changes = flag(CKA_TOKEN, false);
        session.copy(private_key_, changes);
        return true;
    });
    // The last ones: on a token that lets them, the pair is another afterwards.
    attempts_.add("change the pair's mechanisms", [&](Session& session) {
        Attributes changes;
        changes.mechanisms({CKM_RSA_PKCS_OAEP, CKM_RSA_PKCS});
        return set(session, private_key_, std::move(changes));
    });
    attempts_.add("change the pair's usage",
                  [&](Session& session) { return set(session, private_key_, flag(CKA_DECRYPT, true)); });
}

}  // namespace

std::vector<ProbeResult> probe_pair(Session& read_write, const TicketPair& pair, StekTemplate stek_template) {
    return Probe(read_write, pair, stek_template).run();
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
    } const guard{read_write, make_ticket_pair(read_write, is_private, probe_bits)};
    return probe_pair(read_write, guard.pair);
}

bool enforced(const std::vector<ProbeResult>& results) noexcept {
    return !results.empty() && std::ranges::all_of(results, &ProbeResult::refused);
}

}  // namespace stek
