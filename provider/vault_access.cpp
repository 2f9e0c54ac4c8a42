#include "provider/vault_access.hpp"

#include "pkcs11/session.hpp"
#include "provider/vault.hpp"

#include <optional>
#include <unistd.h>

namespace stek {

struct TokenVault::State {
    const pid_t pid = getpid();
    std::mutex mutex;
    std::optional<pkcs11::Session> session;
};

namespace {

pkcs11::Session open_vault(const pkcs11::TokenUri& uri, const std::string& module_config) {
    if (!uri.module_path())
        throw pkcs11::UriError("token URI " + uri.text() + " has no module-path");
    const auto module = pkcs11::Module::initialize(pkcs11::Library::map(*uri.module_path()), module_config);
    const auto token = pkcs11::Token::find(module, uri);
    token->require(vault_mechanisms());
    pkcs11::Session session(token, pkcs11::Access::read_write);
    if ((token->flags() & CKF_LOGIN_REQUIRED) != 0)
        token->login(session, uri.pin_source() ? pkcs11::read_pin(*uri.pin_source()) : Secret());
    return session;
}

}  // namespace

TokenVault::~TokenVault() {
    delete state_.load();
}

/// A parent's state is left alone, mutex and all: another thread of the parent may have held it at the fork.
TokenVault::State& TokenVault::state() {
    State* seen = state_.load();
    while (seen == nullptr || seen->pid != getpid()) {
        auto fresh = std::make_unique<State>();
        if (state_.compare_exchange_strong(seen, fresh.get()))
            return *fresh.release();
    }
    return *seen;
}

pkcs11::Session& TokenVault::session(std::unique_lock<std::mutex>& lock) {
    State& mine = state();
    lock = std::unique_lock(mine.mutex);
    if (mine.session && mine.session->spent()) {
        try {
            // The new one before the old one goes: with its last session a process is logged out, and each
            // login makes SoftHSM write the token's file.
            mine.session = pkcs11::Session(mine.session->shared_token(), pkcs11::Access::read_write);
        } catch (const pkcs11::Error&) {
            mine.session.reset();
        }
    }
    if (!mine.session)
        mine.session.emplace(open_vault(uri_, module_config_));
    return *mine.session;
}

std::unique_ptr<VaultAccess> make_vault_access(const Settings& settings) {
    return std::make_unique<TokenVault>(settings);
}

}  // namespace stek
