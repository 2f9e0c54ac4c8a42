// With the vault's PIN. What a deriving key gives its user is stated in the threat model, and here it is
// tried to the full: group "stated" is what must work, "vault" is what must not.
#include "tests/attack/worker.hpp"

#include <array>
#include <set>

#include <openssl/evp.h>

namespace stek::attack {

namespace {

using Octets = std::vector<std::uint8_t>;

CK_OBJECT_HANDLE chain_key(Worker& worker) {
    const auto found =
        worker.find({number(CKA_CLASS, CKO_SECRET_KEY), text(CKA_LABEL, "stekd chain aes-cbc v1")});
    if (found.size() != 1)
        throw CannotTry("the vault holds " + std::to_string(found.size()) + " chain keys");
    return found.front();
}

Octets data_of(const std::string& label) {
    const std::string text = "stekd v1 " + label;
    Octets digest(32);
    std::size_t size = 0;
    EVP_Q_digest(nullptr, "SHA256", nullptr, text.data(), text.size(), digest.data(), &size);
    return digest;
}

/// An extractable child of `from`, and its bytes in the loot.
Loot child_of(Worker& worker, CK_OBJECT_HANDLE from, Octets data, CK_OBJECT_HANDLE* kept = nullptr) {
    CK_AES_CBC_ENCRYPT_DATA_PARAMS parameters{};
    parameters.pData = data.data();
    parameters.length = data.size();
    CK_MECHANISM by{CKM_AES_CBC_ENCRYPT_DATA, &parameters, sizeof parameters};
    Template all = after(greedy(), number(CKA_VALUE_LEN, 32));
    auto list = raw(all);
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    const CK_RV rv = worker.p.C_DeriveKey(worker.session, &by, from, list.data(), list.size(), &made);
    Loot loot = gained(rv, "an extractable child");
    if (rv == CKR_OK)
        loot.bytes = worker.read(made, CKA_VALUE).value_or(Octets{});
    if (kept != nullptr)
        *kept = made;
    return loot;
}

void stated(Attempts& to) {
    for (const std::string label : {"chain", "mix 0", "mix 1"})
        to.push_back(
            {"stated", "an extractable child of the chain key by \"" + label + "\"",
             [label](Worker& worker) { return child_of(worker, chain_key(worker), data_of(label)); }});
    // All that the key schedule's own words lead to, two steps deep, and blocks of one byte each: 18 kB of
    // keys.
    to.push_back({"stated", "all children that the schedule's words lead to", [](Worker& worker) {
                      const auto root = chain_key(worker);
                      std::vector<Octets> words{Octets(32)};
                      for (const char* word : {"chain", "seal", "name", "admission", "back", "previous"})
                          words.push_back(data_of(word));
                      for (unsigned revision = 0; revision < 4; ++revision)
                          words.push_back(data_of("mix " + std::to_string(revision)));
                      words.emplace_back(32, 0xFF);
                      Loot all = gained(CKR_OK, "extractable children");
                      for (const auto& first : words) {
                          CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
                          const Loot one = child_of(worker, root, first, &key);
                          all.bytes.insert(all.bytes.end(), one.bytes.begin(), one.bytes.end());
                          for (const auto& second : words) {
                              const Loot two = child_of(worker, key, second);
                              all.bytes.insert(all.bytes.end(), two.bytes.begin(), two.bytes.end());
                          }
                      }
                      return all;
                  }});
}

}  // namespace

void add_vault(Attempts& to) {
    stated(to);
    const auto row = [&to](const std::string& name, std::function<Loot(Worker&)> act) {
        to.push_back({"vault", name, std::move(act)});
    };
    row("read the chain key", [](Worker& worker) {
        Octets value(64);
        CK_ATTRIBUTE one{CKA_VALUE, value.data(), value.size()};
        const CK_RV rv = worker.p.C_GetAttributeValue(worker.session, chain_key(worker), &one, 1);
        return gained(rv, "readable", value);
    });
    for (const CK_MECHANISM_TYPE type :
         {CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_PAD, CKM_AES_CBC, CKM_RSA_PKCS, CKM_RSA_PKCS_OAEP, CKM_DES3_CBC})
        row("wrap the chain key by " + mechanism_text(type),
            [type](Worker& worker) { return worker.wrapped_out(type, chain_key(worker)); });
    for (const CK_MECHANISM_TYPE type : {CKM_AES_ECB_ENCRYPT_DATA, CKM_DES3_ECB_ENCRYPT_DATA,
                                         CKM_ECDH1_DERIVE, CKM_CONCATENATE_BASE_AND_DATA})
        row("derive by " + mechanism_text(type),
            [type](Worker& worker) { return worker.derived_by(mechanism(type), chain_key(worker)); });
    for (const CK_MECHANISM_TYPE type : {CKM_AES_ECB, CKM_AES_CBC, CKM_AES_CTR, CKM_AES_GCM}) {
        row("encrypt by " + mechanism_text(type), [type](Worker& worker) {
            return worker.encrypted_by(mechanism(type), chain_key(worker), false, Octets(32));
        });
        // To decrypt would be to go back: the chain's step is an encryption.
        row("decrypt by " + mechanism_text(type), [type](Worker& worker) {
            return worker.encrypted_by(mechanism(type), chain_key(worker), true, Octets(32));
        });
    }
    row("sign by CMAC",
        [](Worker& worker) { return worker.signed_by(mechanism(CKM_AES_CMAC), chain_key(worker), false); });

    struct Change {
        const char* name;
        Template to;
    };
    static const Change changes[] = {
        {"EXTRACTABLE=true", {flag(CKA_EXTRACTABLE, true)}},
        {"SENSITIVE=false", {flag(CKA_SENSITIVE, false)}},
        {"both", {flag(CKA_EXTRACTABLE, true), flag(CKA_SENSITIVE, false)}},
        {"ALLOWED_MECHANISMS=ECB, DECRYPT=true",
         {number(CKA_ALLOWED_MECHANISMS, CKM_AES_ECB), flag(CKA_DECRYPT, true)}},
        {"DECRYPT=true", {flag(CKA_DECRYPT, true)}},
        {"WRAP=true", {flag(CKA_WRAP, true)}},
    };
    // A flag that may be set is no gain by itself: what the key then does is.
    const auto look = [](Worker& worker, CK_RV rv, CK_OBJECT_HANDLE key) {
        Loot loot = harmless(rv, "the flag is set, and ALLOWED_MECHANISMS still forbids the use");
        if (rv != CKR_OK)
            return loot;
        loot.bytes = worker.read(key, CKA_VALUE).value_or(Octets{});
        for (const CK_MECHANISM_TYPE type : {CKM_AES_ECB, CKM_AES_CBC})
            loot.use += worker.encrypted_by(mechanism(type), key, true, Octets(32)).use;
        loot.use += worker.wrapped_out(CKM_AES_KEY_WRAP, worker.own(), key).use;
        loot.use += worker.wrapped_out(CKM_AES_KEY_WRAP, key).use;
        if (!loot.bytes.empty())
            loot.use += "readable";
        return loot;
    };
    for (const auto& [name, to_what] : changes) {
        row(std::string("a copy with ") + name, [&to_what, look](Worker& worker) {
            Template changed = before(to_what, flag(CKA_TOKEN, false));
            auto list = raw(changed);
            CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
            const CK_RV rv =
                worker.p.C_CopyObject(worker.session, chain_key(worker), list.data(), list.size(), &copy);
            return look(worker, rv, copy);
        });
        row(std::string("on a copy, set ") + name, [&to_what, look](Worker& worker) {
            Template session_object{flag(CKA_TOKEN, false)}, changed = to_what;
            auto first = raw(session_object), second = raw(changed);
            CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
            CK_RV rv =
                worker.p.C_CopyObject(worker.session, chain_key(worker), first.data(), first.size(), &copy);
            if (rv == CKR_OK)
                rv = worker.p.C_SetAttributeValue(worker.session, copy, second.data(), second.size());
            return look(worker, rv, copy);
        });
    }
}

}  // namespace stek::attack
