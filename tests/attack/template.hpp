// Templates as an attacker writes them: lists that can be cut, doubled and turned round.
#pragma once

#include "pkcs11/cryptoki.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace stek::attack {

struct Attribute {
    CK_ATTRIBUTE_TYPE type;
    std::vector<std::uint8_t> value;
};
using Template = std::vector<Attribute>;

template <class T>
Attribute plain(CK_ATTRIBUTE_TYPE type, const T& value) {
    Attribute made{type, std::vector<std::uint8_t>(sizeof value)};
    std::memcpy(made.value.data(), &value, sizeof value);
    return made;
}
inline Attribute flag(CK_ATTRIBUTE_TYPE type, bool value) {
    return plain<CK_BBOOL>(type, value ? CK_TRUE : CK_FALSE);
}
inline Attribute number(CK_ATTRIBUTE_TYPE type, CK_ULONG value) {
    return plain(type, value);
}
inline Attribute text(CK_ATTRIBUTE_TYPE type, std::string_view value) {
    return {type, {value.begin(), value.end()}};
}

/// What goes into the call; points into the template.
inline std::vector<CK_ATTRIBUTE> raw(Template& from) {
    std::vector<CK_ATTRIBUTE> out;
    for (auto& [type, value] : from)
        out.push_back({type, value.data(), static_cast<CK_ULONG>(value.size())});
    return out;
}
inline Template without(Template from, CK_ATTRIBUTE_TYPE type) {
    std::erase_if(from, [&](const Attribute& each) { return each.type == type; });
    return from;
}
/// In the place of the one of that type, or at the end.
inline Template with(Template from, const Attribute& changed) {
    const auto found = std::ranges::find(from, changed.type, &Attribute::type);
    if (found == from.end())
        from.push_back(changed);
    else
        *found = changed;
    return from;
}
inline Template before(Template from, const Attribute& first) {
    from.insert(from.begin(), first);
    return from;
}
inline Template after(Template from, const Attribute& last) {
    from.push_back(last);
    return from;
}

/// What an honest server asks for when it unwraps a STEK, written down anew: this must not lean on the
/// provider's own.
inline Template narrow() {
    return {number(CKA_CLASS, CKO_SECRET_KEY),
            number(CKA_KEY_TYPE, CKK_AES),
            flag(CKA_TOKEN, false),
            flag(CKA_PRIVATE, false),
            flag(CKA_SENSITIVE, true),
            flag(CKA_EXTRACTABLE, false),
            flag(CKA_ENCRYPT, true),
            flag(CKA_DECRYPT, true),
            flag(CKA_SIGN, false),
            flag(CKA_VERIFY, false),
            flag(CKA_WRAP, false),
            flag(CKA_UNWRAP, false),
            flag(CKA_DERIVE, false),
            number(CKA_ALLOWED_MECHANISMS, CKM_AES_GCM),
            flag(CKA_COPYABLE, false),
            flag(CKA_MODIFIABLE, false)};
}
/// All that can be had from a session key. CKA_TOKEN first, for attempts replace it.
inline Template greedy(CK_KEY_TYPE type = CKK_AES, CK_OBJECT_CLASS of = CKO_SECRET_KEY) {
    Template all{flag(CKA_TOKEN, false),   number(CKA_CLASS, of),      number(CKA_KEY_TYPE, type),
                 flag(CKA_PRIVATE, false), flag(CKA_SENSITIVE, false), flag(CKA_EXTRACTABLE, true)};
    for (const CK_ATTRIBUTE_TYPE use :
         {CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE})
        if (of == CKO_SECRET_KEY || (use != CKA_ENCRYPT && use != CKA_VERIFY && use != CKA_WRAP))
            all.push_back(flag(use, true));
    return all;
}

}  // namespace stek::attack
