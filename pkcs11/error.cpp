#include "pkcs11/error.hpp"

#include <cstdio>

namespace stek::pkcs11 {
namespace {

std::string sentence(std::string_view call, CK_RV rv, std::string_view token) {
    char code[2 * sizeof rv + 6];
    std::snprintf(code, sizeof code, " (0x%lX)", rv);
    std::string text(call);
    text += ": ";
    text += rv_name(rv);
    text += code;
    if (!token.empty()) {
        text += ", token ";
        text += token;
    }
    return text;
}

}  // namespace

Error::Error(std::string_view call, CK_RV rv, std::string_view token)
    : std::runtime_error(sentence(call, rv, token)), rv_(rv) {}

bool refuses_pin(CK_RV rv) noexcept {
    return rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LOCKED || rv == CKR_PIN_INVALID ||
           rv == CKR_PIN_LEN_RANGE || rv == CKR_PIN_EXPIRED;
}

void check(std::string_view call, CK_RV rv, std::string_view token) {
    if (rv != CKR_OK) {
        throw Error(call, rv, token);
    }
}

}  // namespace stek::pkcs11
