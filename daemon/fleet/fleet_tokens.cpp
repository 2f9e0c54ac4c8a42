#include "daemon/fleet/fleet_tokens.hpp"

#include "daemon/access.hpp"
#include "daemon/unfinished_objects.hpp"
#include "provider/ticket_token.hpp"

#include <algorithm>
#include <set>

namespace stek::fleet {
namespace {

using pkcs11::Access;

/// The one of a role, or the ticket token.
std::unique_ptr<OpenToken> open(const std::shared_ptr<pkcs11::Token>& token, const pkcs11::TokenUri& uri,
                                bool login, const std::string& module_config, daemon::TokenClaims& claims) {
    auto directory = daemon::softhsm_token_directory(module_config, token->serial());
    claims.take(directory);
    auto opened = std::make_unique<OpenToken>(
        OpenToken{pkcs11::Session(token, Access::read_write), std::move(directory)});
    daemon::log_in(opened->session, uri, login);
    return opened;
}

RoleToken open_role(const std::shared_ptr<pkcs11::Module>& module, const pkcs11::TokenUri& uri,
                    const std::string& module_config, daemon::TokenClaims& claims) {
    const auto token = pkcs11::Token::find(module, uri);
    token->require(token_key_mechanisms());
    auto opened = open(token, uri, (token->flags() & CKF_LOGIN_REQUIRED) != 0, module_config, claims);
    auto keys = std::make_unique<TokenKeys>(opened->session);
    return {std::move(opened), std::move(keys)};
}

/// What the provider's part in deriving needs to know.
daemon::Config deriving(const FleetConfig& config) {
    daemon::Config deriving;
    deriving.vault = config.location->token;
    deriving.module_config = config.module_config;
    deriving.provider = config.provider;
    return deriving;
}

}  // namespace

FleetTokens::FleetTokens(const FleetConfig& config, daemon::TokenClaims& claims,
                         const std::string& known_ticket)
    : module_(pkcs11::Module::initialize(pkcs11::Library::map(config.module_path()), config.module_config)) {
    try {
        open_all(config, claims, known_ticket);
    } catch (...) {
        close();
        throw;
    }
}

FleetTokens::~FleetTokens() {
    close();
}

void FleetTokens::open_all(const FleetConfig& config, daemon::TokenClaims& claims,
                           const std::string& known_ticket) {
    if (config.origin)
        origin_ = open_role(module_, config.origin->token, config.module_config, claims);
    if (config.location) {
        location_ = open_role(module_, config.location->token, config.module_config, claims);
        auto& session = location_->token->session;
        session.token().require(vault_mechanisms());
        Chain(session).destroy_older();  // ends what a kill may have interrupted
        deriver_ = std::make_unique<daemon::Deriver>(deriving(config));
    }
    if (config.machine) {
        const auto& machine = *config.machine;
        machine_ = open_role(module_, machine.token, config.module_config, claims);
        const auto ticket = daemon::find_ticket_token(module_, machine.ticket, known_ticket);
        ticket->require(ticket_mechanisms(true));
        ticket_ = open(ticket, machine.ticket, machine.private_pairs, config.module_config, claims);
    }
}

// Sessions last: keys and provider have sessions of their own, or need these.
void FleetTokens::close() noexcept {
    deriver_.reset();
    ticket_.reset();
    for (auto* role : {&origin_, &location_, &machine_})
        role->reset();
    module_->finalize();
}

void FleetTokens::check_present() const {
    for (const auto* role : {&origin_, &location_, &machine_})
        if (*role)
            daemon::check_token_files((*role)->token->directory, (*role)->token->session);
    if (ticket_)
        daemon::check_token_files(ticket_->directory, ticket_->session);
}

std::vector<std::string> FleetTokens::directories() const {
    std::set<std::string> all;
    for (const auto* role : {&origin_, &location_, &machine_})
        if (*role)
            all.insert((*role)->token->directory);
    if (ticket_)
        all.insert(ticket_->directory);
    all.erase("");
    return {all.begin(), all.end()};
}

unsigned FleetTokens::sweep_unfinished() const {
    unsigned removed = 0;
    for (const auto& directory : directories())
        if (!ticket_ || directory != ticket_->directory)
            removed += daemon::remove_unfinished_objects(directory);
    return removed;
}

Identity identity_of(const RoleToken& role, const FleetId& fleet, Role kind, const std::string& name,
                     const std::string& location) {
    const auto& token = role.token->session.token().label();
    auto signing = role.keys->find(Use::signing);
    std::optional<TokenKey> sealing;
    if (kind != Role::origin)
        sealing = role.keys->find(Use::sealing);
    if (!signing || (kind != Role::origin && !sealing))
        throw pkcs11::TokenError("token " + token + " does not hold the keys of " + name +
                                 ": it is not enrolled yet (stekctl fleet enroll)");
    return {fleet, kind, name, location, std::move(*signing), std::move(sealing)};
}

}  // namespace stek::fleet
