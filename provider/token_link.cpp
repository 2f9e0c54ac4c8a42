#include "provider/token_link.hpp"

#include "provider/ticket_token.hpp"

#include <atomic>

namespace stek {

std::shared_ptr<TokenLink> connect_token(const Settings& settings,
                                         const std::shared_ptr<const pkcs11::Library>& library,
                                         const std::string& serial) {
    static std::atomic<std::uint64_t> next_id{1};
    auto module = pkcs11::Module::initialize(library, settings.module_config);
    try {
        const auto& uri = settings.token;
        auto token = pkcs11::Token::find(module, uri, serial);
        if (token->serial() != serial) {
            throw pkcs11::TokenError("token " + token->label() + " has serial " + token->serial() +
                                     ", the ring is for " + serial);
        }
        token->require(ticket_mechanisms(false));
        pkcs11::Session keys(token, pkcs11::Access::read_only);
        if (uri.pin_source()) {
            token->login(keys, pkcs11::read_pin(*uri.pin_source()));
        }
        return std::shared_ptr<TokenLink>(
            new TokenLink{module, std::move(token), std::move(keys), next_id.fetch_add(1)});
    } catch (...) {
        module->finalize();  // or the next try would find it initialised, and see no token made since
        throw;
    }
}

bool TokenLink::destroy_keys() noexcept {
    const CK_RV rv = keys.close();
    return rv == CKR_OK || breaks_link(rv);  // who has no session any more has no objects of it
}

void TokenLink::destroy_inherited_keys() noexcept {
    if (module->initialized_by_us() && token->manufacturer() == "SoftHSM project" &&
        keys.handle() != CK_INVALID_HANDLE) {
        module->functions().C_CloseSession(keys.handle());
    }
}

bool breaks_link(CK_RV rv) noexcept {
    switch (rv) {
        case CKR_CRYPTOKI_NOT_INITIALIZED:
        case CKR_DEVICE_REMOVED:
        case CKR_TOKEN_NOT_PRESENT:
        case CKR_TOKEN_NOT_RECOGNIZED:
        case CKR_SLOT_ID_INVALID:
        case CKR_SESSION_CLOSED:
        case CKR_SESSION_HANDLE_INVALID:
        case CKR_KEY_HANDLE_INVALID:
        case CKR_OBJECT_HANDLE_INVALID:
        case CKR_USER_NOT_LOGGED_IN:
            return true;
        default:
            return false;
    }
}

}  // namespace stek
