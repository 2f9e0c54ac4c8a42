// C_UnwrapKey with the pair: each attribute of the template weakened, left out, given twice, given otherwise;
// other key types; other mechanisms.
#include "tests/attack/worker.hpp"

#include <array>

#include <openssl/rand.h>

namespace stek::attack {

namespace {

constexpr char as_narrow[] = "the key that came is as narrow as a server's";
constexpr char other_key[] = "another key, not the STEK";

struct Wish {
    CK_ATTRIBUTE_TYPE type;
    const char* name;
    bool wanted;
};
constexpr Wish wishes[] = {
    {CKA_EXTRACTABLE, "EXTRACTABLE", true},
    {CKA_SENSITIVE, "SENSITIVE", false},
    {CKA_TOKEN, "TOKEN", true},
    {CKA_PRIVATE, "PRIVATE", true},
    {CKA_DERIVE, "DERIVE", true},
    {CKA_WRAP, "WRAP", true},
    {CKA_UNWRAP, "UNWRAP", true},
    {CKA_SIGN, "SIGN", true},
    {CKA_VERIFY, "VERIFY", true},
    {CKA_COPYABLE, "COPYABLE", true},
    {CKA_MODIFIABLE, "MODIFIABLE", true},
};

Loot by_template(Worker& worker, const Template& as, const char* why = as_narrow) {
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    const CK_RV rv = worker.unwrap(oaep(), as, key);
    return worker.look_over(rv, key, why);
}
void row(Attempts& to, const std::string& name, Template as, const char* why = as_narrow) {
    to.push_back(
        {"unwrap", name, [as = std::move(as), why](Worker& worker) { return by_template(worker, as, why); }});
}

void weakened(Attempts& to) {
    for (const auto& [type, name, wanted] : wishes) {
        const std::string what = std::string(name) + "=" + (wanted ? "true" : "false");
        const Attribute weak = flag(type, wanted), right = flag(type, !wanted);
        row(to, what, with(narrow(), weak));
        row(to, what + " first, then the right one", before(narrow(), weak));
        row(to, what + " after the right one", after(narrow(), weak));
        row(to, std::string("without ") + name, without(narrow(), type));
        row(to, what + " as a number of 8 bytes", with(narrow(), number(type, wanted ? 1 : 0)));
        row(to, std::string(name) + " of no bytes", with(narrow(), {type, {}}));
    }
    for (const CK_ATTRIBUTE_TYPE type : {CKA_CLASS, CKA_KEY_TYPE, CKA_ENCRYPT, CKA_DECRYPT})
        row(to, "without attribute " + std::to_string(type), without(narrow(), type));
    row(to, "SENSITIVE=false and EXTRACTABLE=true",
        with(with(narrow(), flag(CKA_SENSITIVE, false)), flag(CKA_EXTRACTABLE, true)));
    row(to, "all that a key can do", greedy());
    row(to, "all that a key can do, in the token", with(greedy(), flag(CKA_TOKEN, true)));
    row(to, "all that a key can do, before the right template", [] {
        Template both = greedy();
        for (const auto& each : narrow())
            both.push_back(each);
        return both;
    }());
    row(to, "all that a key can do, after the right template", [] {
        Template both = narrow();
        for (const auto& each : greedy())
            both.push_back(each);
        return both;
    }());
    Template turned = narrow();
    std::ranges::reverse(turned);
    row(to, "the right template in reverse order", turned);
    // SoftHSM takes nothing more after MODIFIABLE=false, so these two stay the last.
    turned = narrow();
    std::reverse(turned.begin(), turned.end() - 2);
    row(to, "the right template in reverse order, but for the end", turned);
    row(to, "class and type only", {number(CKA_CLASS, CKO_SECRET_KEY), number(CKA_KEY_TYPE, CKK_AES)});
    row(to, "an empty template", {});
}

void other_mechanisms_allowed(Attempts& to) {
    const auto allowed = [](std::initializer_list<CK_MECHANISM_TYPE> list) {
        Attribute made{CKA_ALLOWED_MECHANISMS, std::vector<std::uint8_t>(list.size() * sizeof(CK_ULONG))};
        if (list.size() > 0)
            std::memcpy(made.value.data(), list.begin(), made.value.size());
        return made;
    };
    row(to, "without ALLOWED_MECHANISMS", without(narrow(), CKA_ALLOWED_MECHANISMS));
    row(to, "ALLOWED_MECHANISMS of nothing", with(narrow(), allowed({})));
    row(to, "ALLOWED_MECHANISMS: ECB", with(narrow(), allowed({CKM_AES_ECB})));
    row(to, "ALLOWED_MECHANISMS: GCM, ECB", with(narrow(), allowed({CKM_AES_GCM, CKM_AES_ECB})));
    row(to, "ALLOWED_MECHANISMS: GCM twice", with(narrow(), allowed({CKM_AES_GCM, CKM_AES_GCM})));
    row(to, "ALLOWED_MECHANISMS: ECB after GCM", after(narrow(), allowed({CKM_AES_ECB})));
    row(to, "ALLOWED_MECHANISMS: ECB before GCM", before(narrow(), allowed({CKM_AES_ECB})));
    row(to, "ALLOWED_MECHANISMS cut to 7 bytes",
        with(narrow(), {CKA_ALLOWED_MECHANISMS, std::vector<std::uint8_t>(7)}));
}

void as_other_objects(Attempts& to) {
    for (const auto& [name, type] : {std::pair{"a generic secret", CKK_GENERIC_SECRET},
                                     {"a DES key", CKK_DES},
                                     {"a two-key DES3 key", CKK_DES2},
                                     {"a DES3 key", CKK_DES3},
                                     {"an HMAC key", CKK_SHA256_HMAC},
                                     {"a Blowfish key", CKK_BLOWFISH},
                                     {"an RSA key", CKK_RSA}}) {
        row(to, std::string("as ") + name, with(narrow(), number(CKA_KEY_TYPE, type)));
        row(to, std::string("as ") + name + " that can do all", greedy(type));
    }
    for (const auto& [name, of] : {std::pair{"a private key", CKO_PRIVATE_KEY},
                                   {"a public key", CKO_PUBLIC_KEY},
                                   {"a data object", CKO_DATA},
                                   {"a certificate", CKO_CERTIFICATE}})
        row(to, std::string("as ") + name, with(narrow(), number(CKA_CLASS, of)));
    for (const CK_ULONG length : {0, 1, 8, 16, 24, 31, 64})
        row(to, "VALUE_LEN=" + std::to_string(length), before(narrow(), number(CKA_VALUE_LEN, length)));
    row(to, "VALUE given", before(narrow(), {CKA_VALUE, std::vector<std::uint8_t>(32)}), other_key);
    row(to, "an UNWRAP_TEMPLATE of nothing with it", before(narrow(), {CKA_UNWRAP_TEMPLATE, {}}));
    row(to, "TRUSTED=true", before(narrow(), flag(CKA_TRUSTED, true)));
    row(to, "NEVER_EXTRACTABLE=false", before(narrow(), flag(CKA_NEVER_EXTRACTABLE, false)));
    row(to, "WRAP_WITH_TRUSTED=false", before(narrow(), flag(CKA_WRAP_WITH_TRUSTED, false)));
    row(to, "SIGN_RECOVER=true", before(narrow(), flag(CKA_SIGN_RECOVER, true)));
    row(to, "with a label and an id",
        before(before(narrow(), text(CKA_LABEL, "mine")), text(CKA_ID, "mine")));
}

void other_oaep(Attempts& to) {
    struct Parameters {
        const char* name;
        CK_RSA_PKCS_OAEP_PARAMS with;
    };
    static std::array<std::uint8_t, 4> label{'m', 'i', 'n', 'e'};
    static Parameters all[] = {
        {"SHA-256", {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, nullptr, 0}},
        {"SHA-512", {CKM_SHA512, CKG_MGF1_SHA512, CKZ_DATA_SPECIFIED, nullptr, 0}},
        {"MD5", {CKM_MD5, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, nullptr, 0}},
        {"SHA-1, MGF of SHA-256", {CKM_SHA_1, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, nullptr, 0}},
        {"a label", {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, label.data(), label.size()}},
        {"no source", {CKM_SHA_1, CKG_MGF1_SHA1, 0, nullptr, 0}},
    };
    for (auto& [name, parameters] : all)
        to.push_back({"unwrap", std::string("OAEP with ") + name + ", greedily", [&](Worker& worker) {
                          CK_MECHANISM by{CKM_RSA_PKCS_OAEP, &parameters, sizeof parameters};
                          CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
                          const CK_RV rv = worker.unwrap(by, greedy(), key);
                          return worker.look_over(rv, key);
                      }});
    to.push_back({"unwrap", "OAEP without parameters, greedily", [](Worker& worker) {
                      CK_MECHANISM by{CKM_RSA_PKCS_OAEP, nullptr, 0};
                      CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
                      const CK_RV rv = worker.unwrap(by, greedy(), key);
                      return worker.look_over(rv, key);
                  }});
}

}  // namespace

void add_unwrapping(Attempts& to) {
    weakened(to);
    other_mechanisms_allowed(to);
    as_other_objects(to);
    other_oaep(to);
}

void add_unwrapping_by(Attempts& to, const Mechanisms& known) {
    Mechanisms all = known;
    for (const CK_MECHANISM_TYPE more : {CKM_RSA_X_509, CKM_RSA_AES_KEY_WRAP, CKM_RSA_PKCS_OAEP_TPM_1_1})
        all.push_back({more, CKF_UNWRAP});
    for (const auto& [type, flags] : all) {
        if ((flags & CKF_UNWRAP) == 0 || type == CKM_RSA_PKCS_OAEP)
            continue;
        for (const bool greedily : {false, true})
            to.push_back({"unwrap", "by " + mechanism_text(type) + (greedily ? ", greedily" : ""),
                          [type = type, greedily](Worker& worker) {
                              CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
                              const CK_RV rv =
                                  worker.unwrap(mechanism(type), greedily ? greedy() : narrow(), key);
                              Loot loot = worker.look_over(rv, key);
                              if (rv == CKR_OK)
                                  loot.use += " by another mechanism";
                              return loot;
                          }});
        // The STEK in the pair's place: what it would unwrap it would decrypt.
        to.push_back({"unwrap", "with the STEK, by " + mechanism_text(type), [type = type](Worker& worker) {
                          CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
                          const auto stek = worker.stek();
                          const CK_RV rv = worker.unwrap(mechanism(type), greedy(CKK_GENERIC_SECRET), key,
                                                         stek, std::vector<std::uint8_t>(40, 1));
                          return gained(rv, "the STEK unwraps");
                      }});
    }
}

}  // namespace stek::attack
