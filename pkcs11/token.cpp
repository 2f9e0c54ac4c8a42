#include "pkcs11/token.hpp"

#include "pkcs11/error.hpp"
#include "pkcs11/padded.hpp"
#include "pkcs11/refused_pins.hpp"
#include "pkcs11/session.hpp"

#include <algorithm>
#include <mutex>
#include <optional>

namespace stek::pkcs11 {

struct LoginState {
    std::mutex mutex;
    std::optional<Error> refused;
};

namespace {

std::string functions_name(CK_FLAGS flags) {
    static constexpr std::pair<CK_FLAGS, const char*> names[] = {
        {CKF_ENCRYPT, "encrypt"}, {CKF_DECRYPT, "decrypt"},
        {CKF_DIGEST, "digest"},   {CKF_SIGN, "sign"},
        {CKF_VERIFY, "verify"},   {CKF_GENERATE, "generate"},
        {CKF_WRAP, "wrap"},       {CKF_GENERATE_KEY_PAIR, "generate key pair"},
        {CKF_UNWRAP, "unwrap"},   {CKF_DERIVE, "derive"},
    };
    std::string text;
    for (const auto& [flag, name] : names) {
        if ((flags & flag) != 0) {
            text.append(text.empty() ? "" : "+").append(name);
        }
    }
    return text;
}

std::vector<CK_SLOT_ID> slots_with_token(CK_FUNCTION_LIST& functions) {
    std::vector<CK_SLOT_ID> slots;
    CK_RV rv;
    do {  // a token may be plugged in between the two calls
        CK_ULONG count = 0;
        check("C_GetSlotList", functions.C_GetSlotList(CK_TRUE, nullptr, &count));
        slots.resize(count);
        rv = functions.C_GetSlotList(CK_TRUE, slots.data(), &count);
        slots.resize(std::min<std::size_t>(count, slots.size()));
    } while (rv == CKR_BUFFER_TOO_SMALL);
    check("C_GetSlotList", rv);
    return slots;
}

std::string list_of(const std::vector<std::string>& names) {
    std::string text;
    for (const auto& name : names) {
        text += (text.empty() ? "" : ", ") + name;
    }
    return text;
}

}  // namespace

Token::Token(std::shared_ptr<Module> module, CK_SLOT_ID slot, const CK_TOKEN_INFO& info)
    : module_(std::move(module)),
      slot_(slot),
      flags_(info.flags),
      label_(unpadded(info.label)),
      serial_(unpadded(info.serialNumber)),
      manufacturer_(unpadded(info.manufacturerID)),
      login_(std::make_shared<LoginState>()) {}

std::shared_ptr<Token> Token::find(const std::shared_ptr<Module>& module, const TokenUri& uri,
                                   const std::string& preferred) {
    if (!module->usable_here()) {
        throw TokenError("token URI " + uri.text() + ": the module is not initialised in this process");
    }
    auto& functions = module->functions();
    std::shared_ptr<Token> found, found_preferred;
    std::vector<std::string> matching, others;
    std::optional<Error> unreadable;
    bool blank = false;
    for (const CK_SLOT_ID slot : slots_with_token(functions)) {
        CK_TOKEN_INFO info{};
        if (const CK_RV rv = functions.C_GetTokenInfo(slot, &info); rv != CKR_OK) {
            // Another slot's trouble matters only if the token is not found elsewhere.
            if (rv != CKR_TOKEN_NOT_PRESENT && rv != CKR_DEVICE_REMOVED) {
                unreadable.emplace("C_GetTokenInfo", rv, "in slot " + std::to_string(slot));
            }
            continue;
        }
        auto token = std::make_shared<Token>(module, slot, info);
        if (!uri.matches(slot, info)) {
            if ((info.flags & CKF_TOKEN_INITIALIZED) != 0) {
                others.push_back(token->label());
            }
            continue;
        }
        // SoftHSM always has one blank token besides: it counts only if nothing else is meant.
        if ((info.flags & CKF_TOKEN_INITIALIZED) == 0) {
            blank = true;
            continue;
        }
        matching.push_back(token->label() + " (serial " + token->serial() + ", slot " + std::to_string(slot) +
                           ")");
        if (!preferred.empty() && token->serial() == preferred) {
            found_preferred = token;
        }
        found = std::move(token);
    }
    if (found_preferred) {
        return found_preferred;
    }
    const std::string& module_path = module->library().path();
    if (matching.size() > 1) {
        throw TokenError("several tokens of " + module_path + " match " + uri.text() + ": " +
                         list_of(matching));
    }
    if (found) {
        return found;
    }
    if (blank) {
        throw TokenError("the token of " + module_path + " that " + uri.text() + " means is not initialised");
    }
    if (unreadable) {
        throw Error(*unreadable);
    }
    throw TokenError("no token of " + module_path + " matches " + uri.text() +
                     (others.empty() ? "; it has none" : "; it has " + list_of(others)));
}

bool Token::offers(CK_MECHANISM_TYPE type, CK_FLAGS flags) const noexcept {
    CK_MECHANISM_INFO info{};
    return module_->usable_here() && module_->functions().C_GetMechanismInfo(slot_, type, &info) == CKR_OK &&
           (info.flags & flags) == flags;
}

void Token::require(std::span<const NeededMechanism> mechanisms) const {
    std::vector<std::string> missing;
    for (const auto& needed : mechanisms) {
        if (!offers(needed.type, needed.flags)) {
            const bool known = offers(needed.type, 0);
            missing.push_back(mechanism_name(needed.type) +
                              (known ? " for " + functions_name(needed.flags) : std::string()));
        }
    }
    if (!missing.empty()) {
        throw TokenError("token " + label_ + " has no " + list_of(missing));
    }
}

void Token::login(Session& session, const Secret& pin) {
    if (!module_->usable_here()) {
        throw Error("C_Login", CKR_CRYPTOKI_NOT_INITIALIZED, label_);
    }
    auto& functions = module_->functions();
    const std::lock_guard lock(login_->mutex);
    CK_SESSION_INFO state{};
    check("C_GetSessionInfo", functions.C_GetSessionInfo(session.handle(), &state), label_);
    if (state.state == CKS_RO_USER_FUNCTIONS || state.state == CKS_RW_USER_FUNCTIONS) {
        return;  // each C_Login costs SoftHSM a write to the token, and a real token may count it
    }
    if (login_->refused) {
        throw Error(*login_->refused);
    }
    if (pin.empty() && (flags_ & CKF_PROTECTED_AUTHENTICATION_PATH) == 0) {
        if ((flags_ & CKF_LOGIN_REQUIRED) == 0) {
            return;
        }
        throw TokenError("token " + label_ + " wants a PIN and none was given (pin-source)");
    }
    std::optional<RefusedPins::Attempt> attempt;
    if (!pin.empty()) {
        attempt.emplace(RefusedPins::shared(), serial_, pin);
        if (attempt->known()) {
            throw Error("C_Login (not tried again)", CKR_PIN_INCORRECT, label_);
        }
    }
    if ((flags_ & CKF_USER_PIN_FINAL_TRY) != 0) {
        throw TokenError("token " + label_ +
                         " has one PIN try left before it locks; log in by hand once to reset its count");
    }
    auto* bytes = pin.empty() ? nullptr : const_cast<CK_UTF8CHAR*>(pin.data());
    const CK_RV rv = functions.C_Login(session.handle(), CKU_USER, bytes, pin.size());
    if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN) {
        return;
    }
    if (refuses_pin(rv) && attempt) {
        attempt->refused();  // first: what follows needs memory
    }
    Error error("C_Login", rv, label_);
    if (refuses_pin(rv)) {
        login_->refused = error;
    }
    throw Error(error);
}

}  // namespace stek::pkcs11
