#include "daemon/fleet/token_session.hpp"

#include "daemon/access.hpp"
#include "daemon/log.hpp"
#include "daemon/token_backup.hpp"
#include "daemon/tokens.hpp"
#include "daemon/unfinished_objects.hpp"
#include "provider/file.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace stek::fleet {

TokenSession::TokenSession(const FleetConfig& config, const pkcs11::TokenUri& uri,
                           std::span<const pkcs11::NeededMechanism> needed) {
    for (const auto& mended : daemon::mend_tokens(config.module_config, config.state, claims_))
        daemon::log(LOG_WARNING, "a kill in a login had emptied token.object; put back in " + mended);
    module_ = pkcs11::Module::initialize(pkcs11::Library::map(*uri.module_path()), config.module_config);
    try {
        open(config, uri, needed);
    } catch (...) {
        close();
        throw;
    }
}

TokenSession::~TokenSession() {
    close();
}

void TokenSession::open(const FleetConfig& config, const pkcs11::TokenUri& uri,
                        std::span<const pkcs11::NeededMechanism> needed) {
    const auto token = pkcs11::Token::find(module_, uri);
    token->require(needed);
    directory_ = daemon::softhsm_token_directory(config.module_config, token->serial());
    claims_.take(directory_);
    if (!directory_.empty())
        daemon::remove_unfinished_objects(directory_);
    session_.emplace(token, pkcs11::Access::read_write);
    daemon::log_in(*session_, uri, (token->flags() & CKF_LOGIN_REQUIRED) != 0);
    if (!directory_.empty())
        daemon::back_up_token(directory_, config.state);
    keys_.emplace(*session_);
}

void TokenSession::close() noexcept {
    keys_.reset();
    session_.reset();
    module_->finalize();
}

void TokenSession::sync() const {
    if (directory_.empty())
        return;
    const Fd opened(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened || ::syncfs(opened.get()) != 0)
        throw_errno("cannot sync", directory_);
}

}  // namespace stek::fleet
