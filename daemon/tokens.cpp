#include "daemon/tokens.hpp"

#include "daemon/log.hpp"
#include "daemon/token_backup.hpp"
#include "daemon/token_maker.hpp"
#include "daemon/unfinished_objects.hpp"

#include <algorithm>
#include <filesystem>

namespace stek::daemon {

void check_token_files(const std::string& directory, const pkcs11::Session& session) {
    if (!directory.empty() && !std::filesystem::exists(directory + "/token.object"))
        throw pkcs11::TokenError("token " + session.token().label() + " is gone: there is no " + directory);
}

void log_in(pkcs11::Session& session, const pkcs11::TokenUri& uri, bool needed) {
    if (!needed && !uri.pin_source())
        return;
    const auto pin = uri.pin_source() ? pkcs11::read_pin(*uri.pin_source()) : Secret();
    try {
        session.token().login(session, pin);
    } catch (const pkcs11::Error& error) {
        if (pkcs11::refuses_pin(error.rv()))
            throw PinRefused(error.what());
        throw;
    }
}

std::shared_ptr<pkcs11::Token> find_ticket_token(const std::shared_ptr<pkcs11::Module>& module,
                                                 const pkcs11::TokenUri& uri, const std::string& known) {
    try {
        return pkcs11::Token::find(module, uri, known);
    } catch (const pkcs11::TokenError& error) {
        const auto present = tokens_of(module->functions());
        if (std::any_of(present.begin(), present.end(), [&](const SlotToken& token) {
                return !token.is_blank() && uri.matches(token.slot, token.info);
            }))
            throw;  // several: which is ours is not for us to say
        throw TicketTokenLost(error.what());
    }
}

Tokens::Tokens(const Config& config, TokenClaims& claims, const std::string& known_ticket) {
    using pkcs11::Access;
    module_ =
        pkcs11::Module::initialize(pkcs11::Library::map(*config.vault.module_path()), config.module_config);
    try {
        const auto vault = pkcs11::Token::find(module_, config.vault);
        vault->require(vault_mechanisms());
        vault_directory_ = softhsm_token_directory(config.module_config, vault->serial());
        claims.take(vault_directory_);
        const auto ticket = find_ticket_token(module_, config.ticket, known_ticket);
        ticket->require(ticket_mechanisms(true));
        ticket_directory_ = softhsm_token_directory(config.module_config, ticket->serial());
        claims.take(ticket_directory_);

        vault_.emplace(vault, Access::read_write);
        log_in(*vault_, config.vault, (vault->flags() & CKF_LOGIN_REQUIRED) != 0);
        Chain(*vault_).destroy_older();  // ends what a kill may have interrupted
        ticket_.emplace(ticket, Access::read_write);
        log_in(*ticket_, config.ticket, config.private_pairs);
        oaep_ = ticket_oaep_hash(ticket);
        deriver_ = std::make_unique<Deriver>(config);
    } catch (...) {
        vault_.reset();
        ticket_.reset();
        module_->finalize();
        throw;
    }
}

Tokens::~Tokens() {
    deriver_.reset();  // it has a session of its own
    vault_.reset();
    ticket_.reset();
    module_->finalize();
}

bool Tokens::one_token_for_both() const {
    return vault_->token().serial() == ticket_->token().serial();
}

void Tokens::check_present() const {
    check_token_files(vault_directory_, *vault_);
    check_token_files(ticket_directory_, *ticket_);
}

std::vector<std::string> Tokens::directories() const {
    std::vector<std::string> directories{vault_directory_, ticket_directory_};
    std::erase(directories, "");
    return directories;
}

std::vector<std::string> Tokens::files() const {
    auto files = directories();
    for (auto& file : files)
        file += "/token.object";
    return files;
}

void Tokens::give_access(const Readers& readers) const {
    if (!ticket_directory_.empty())
        readers.allow_token(ticket_directory_);
}

void Tokens::back_up(const std::string& state) const {
    for (const auto& directory : directories())
        back_up_token(directory, state);
    drop_other_copies(directories(), state);
}

unsigned Tokens::sweep_unfinished() const {
    unsigned removed = 0;
    for (const auto& directory : directories())
        removed += remove_unfinished_objects(directory);
    return removed;
}

std::vector<std::string> weaknesses_of(pkcs11::Session& ticket, bool private_pairs) {
    std::vector<std::string> weak;
    for (const auto& result : probe_enforcement(ticket, private_pairs))
        if (!result.refused)
            weak.push_back(result.attempt);
    return weak;
}

void judge(const std::vector<std::string>& weaknesses, bool allow_weak_token) {
    for (const auto& weakness : weaknesses)
        log(allow_weak_token ? LOG_WARNING : LOG_ERR, "the ticket token does not refuse: " + weakness,
            {{"STEK_WEAKNESS", weakness}});
    if (!weaknesses.empty() && !allow_weak_token)
        throw WeakToken(
            "the ticket token lets servers take more than they may (allow_weak_token = true accepts that)");
}

}  // namespace stek::daemon
