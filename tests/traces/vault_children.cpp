#include "tests/traces/vault_children.hpp"

#include "provider/schedule.hpp"

#include <algorithm>

namespace stek::traces {

std::vector<Key> children_of(pkcs11::Session& session, pkcs11::Attributes& pattern,
                             const std::string& label) {
    std::vector<Key> children;
    for (const CK_OBJECT_HANDLE object : session.find(pattern)) {
        pkcs11::Attributes child;
        child.number(CKA_CLASS, CKO_SECRET_KEY)
            .number(CKA_KEY_TYPE, CKK_GENERIC_SECRET)
            .number(CKA_VALUE_LEN, 32)
            .flag(CKA_TOKEN, false)
            .flag(CKA_SENSITIVE, false)
            .flag(CKA_EXTRACTABLE, true);
        const auto made = derive_step_as(session, object, label, child);
        const auto value = session.attribute(made.get(), CKA_VALUE).value();
        std::copy_n(value.begin(), sizeof(Key), children.emplace_back().begin());
    }
    return children;
}

}  // namespace stek::traces
