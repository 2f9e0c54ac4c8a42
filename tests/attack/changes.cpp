// C_CopyObject, C_SetAttributeValue and C_DestroyObject, on the STEK and on the pair.
#include "tests/attack/worker.hpp"

namespace stek::attack {

namespace {

using Target = CK_OBJECT_HANDLE (*)(Worker&);
CK_OBJECT_HANDLE the_stek(Worker& worker) {
    return worker.stek();
}
CK_OBJECT_HANDLE the_pair(Worker& worker) {
    return worker.pair;
}
CK_OBJECT_HANDLE the_public_half(Worker& worker) {
    return worker.public_half;
}

void copies(Attempts& to, const std::string& of, Target target, const std::string& name, Template changes) {
    to.push_back({"copy", of + " " + name, [target, changes](Worker& worker) mutable {
                      CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
                      auto list = raw(changes);
                      const CK_RV rv = worker.p.C_CopyObject(worker.session, target(worker), list.data(),
                                                             list.size(), &copy);
                      Loot loot = gained(rv, "a copy");
                      if (rv == CKR_OK)
                          loot.bytes = worker.read(copy, CKA_VALUE).value_or(std::vector<std::uint8_t>{});
                      return loot;
                  }});
}

void sets(Attempts& to, const std::string& of, Target target, const std::string& name, Template changes) {
    to.push_back({"set", of + " " + name, [target, changes](Worker& worker) mutable {
                      const auto key = target(worker);
                      auto list = raw(changes);
                      const CK_RV rv =
                          worker.p.C_SetAttributeValue(worker.session, key, list.data(), list.size());
                      Loot loot = gained(rv, "it was changed");
                      if (rv == CKR_OK)
                          loot.bytes = worker.read(key, CKA_VALUE).value_or(std::vector<std::uint8_t>{});
                      return loot;
                  }});
}

}  // namespace

void add_changes(Attempts& to) {
    struct Change {
        const char* name;
        Attribute to;
    };
    const Change of_both[] = {
        {"EXTRACTABLE=true", flag(CKA_EXTRACTABLE, true)},
        {"SENSITIVE=false", flag(CKA_SENSITIVE, false)},
        {"DERIVE=true", flag(CKA_DERIVE, true)},
        {"SIGN=true", flag(CKA_SIGN, true)},
        {"DECRYPT=true", flag(CKA_DECRYPT, true)},
        {"UNWRAP=true", flag(CKA_UNWRAP, true)},
        {"COPYABLE=true", flag(CKA_COPYABLE, true)},
        {"MODIFIABLE=true", flag(CKA_MODIFIABLE, true)},
        {"ALLOWED_MECHANISMS=nothing", {CKA_ALLOWED_MECHANISMS, {}}},
        {"ALLOWED_MECHANISMS=PKCS#1 v1.5", number(CKA_ALLOWED_MECHANISMS, CKM_RSA_PKCS)},
        {"ALLOWED_MECHANISMS=ECB", number(CKA_ALLOWED_MECHANISMS, CKM_AES_ECB)},
        {"TOKEN turned round", flag(CKA_TOKEN, true)},
        {"with another id", text(CKA_ID, "mine")},
        {"with a label", text(CKA_LABEL, "mine")},
    };
    for (const auto& [name, to_what] : of_both) {
        sets(to, "the STEK", the_stek, name, {to_what});
        copies(to, "the STEK", the_stek, name, {to_what});
        const Attribute turned = to_what.type == CKA_TOKEN ? flag(CKA_TOKEN, false) : to_what;
        sets(to, "the pair", the_pair, name, {turned});
        copies(to, "the pair", the_pair, name, before({turned}, flag(CKA_TOKEN, false)));
    }
    for (const auto target : {&the_stek, &the_pair}) {
        const std::string of = target == &the_stek ? "the STEK" : "the pair";
        copies(to, of, *target, "as it is", {});
        copies(to, of, *target, "to all that it can do",
               {flag(CKA_EXTRACTABLE, true), flag(CKA_SENSITIVE, false), flag(CKA_TOKEN, false)});
    }
    sets(to, "the STEK", the_stek, "WRAP=true", {flag(CKA_WRAP, true)});
    sets(to, "the STEK", the_stek, "VALUE", {{CKA_VALUE, std::vector<std::uint8_t>(32)}});
    sets(to, "the STEK", the_stek, "VALUE_LEN=16", {number(CKA_VALUE_LEN, 16)});
    sets(to, "the pair", the_pair, "UNWRAP_TEMPLATE=nothing", {{CKA_UNWRAP_TEMPLATE, {}}});
    copies(to, "the pair", the_pair, "without UNWRAP_TEMPLATE",
           {flag(CKA_TOKEN, false), {CKA_UNWRAP_TEMPLATE, {}}});
    // A wrong factor makes a signature or a decryption give the right one away.
    sets(to, "the pair", the_pair, "PRIME_1", {{CKA_PRIME_1, std::vector<std::uint8_t>(192, 1)}});
    sets(to, "the public half", the_public_half, "WRAP=true", {flag(CKA_WRAP, true)});
    sets(to, "the public half", the_public_half, "MODULUS",
         {{CKA_MODULUS, std::vector<std::uint8_t>(384, 1)}});
    for (const auto target : {&the_pair, &the_public_half})
        to.push_back({"set",
                      std::string("destroy the ") + (target == &the_pair ? "private" : "public") + " half",
                      [target](Worker& worker) {
                          return gained(worker.p.C_DestroyObject(worker.session, (*target)(worker)),
                                        "an object of the token is gone");
                      }});
}

}  // namespace stek::attack
