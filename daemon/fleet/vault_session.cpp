#include "daemon/fleet/vault_session.hpp"

#include "daemon/access.hpp"
#include "daemon/log.hpp"
#include "daemon/token_backup.hpp"
#include "daemon/tokens.hpp"
#include "daemon/unfinished_objects.hpp"
#include "provider/file.hpp"
#include "provider/vault.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace stek::fleet {

VaultSession::VaultSession(const FleetConfig& config) {
    if (!config.location)
        throw daemon::ConfigError(config.file + ": there is no [location], so there is no vault here");
    location_ = config.location->name;
    vault_ = config.location->vault;
    for (const auto& mended : daemon::mend_tokens(config.module_config, config.state, claims_))
        daemon::log(LOG_WARNING, "a kill in a login had emptied token.object; put back in " + mended);
    module_ = pkcs11::Module::initialize(pkcs11::Library::map(config.module_path()), config.module_config);
    try {
        open(config);
    } catch (...) {
        close();
        throw;
    }
}

VaultSession::~VaultSession() {
    close();
}

void VaultSession::open(const FleetConfig& config) {
    const auto& uri = config.location->token;
    const auto token = pkcs11::Token::find(module_, uri);
    token->require(vault_mechanisms());
    directory_ = daemon::softhsm_token_directory(config.module_config, token->serial());
    claims_.take(directory_);
    if (!directory_.empty())
        daemon::remove_unfinished_objects(directory_);
    session_.emplace(token, pkcs11::Access::read_write);
    daemon::log_in(*session_, uri, (token->flags() & CKF_LOGIN_REQUIRED) != 0);
    if (!directory_.empty())
        daemon::back_up_token(directory_, config.state);
    Chain(*session_).destroy_older();
    keys_.emplace(*session_);
}

void VaultSession::close() noexcept {
    keys_.reset();
    session_.reset();
    module_->finalize();
}

Identity VaultSession::identity(const FleetId& fleet) {
    auto signing = keys_->find(Use::signing);
    auto sealing = keys_->find(Use::sealing);
    if (!signing || !sealing)
        throw pkcs11::TokenError("token " + session_->token().label() + " holds no keys of vault " + vault_ +
                                 ": it has to be enrolled first (stekctl fleet enroll location)");
    return {fleet, Role::vault, vault_, location_, std::move(*signing), std::move(sealing)};
}

void VaultSession::sync() const {
    if (directory_.empty())
        return;
    const Fd opened(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened || ::syncfs(opened.get()) != 0)
        throw_errno("cannot sync", directory_);
}

}  // namespace stek::fleet
