// The tokens of a fleet party: opened together, closed together.
#pragma once

#include "daemon/deriver.hpp"
#include "daemon/fleet/config.hpp"
#include "daemon/fleet/identity.hpp"
#include "daemon/token_claims.hpp"
#include "daemon/tokens.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace stek::fleet {

/// A token that stekd has opened, claimed and logged in to.
struct OpenToken {
    pkcs11::Session session;  ///< read-write
    std::string directory;    ///< empty if the token is not in files
};

/// One that has a role's own keys. They go before the session.
struct RoleToken {
    std::unique_ptr<OpenToken> token;
    std::unique_ptr<TokenKeys> keys;
};

/// Module, sessions and provider for the roles of a configuration. One object at a time in a process: with it
/// the module is finalised, because SoftHSM sees a token that was made later only when it is initialised
/// anew. Roles may share a token; then they share its keys, too. One thread at a time.
class FleetTokens {
  public:
    /// Of several that match the ticket token's URI the one of serial `known_ticket` (may be empty) is it.
    /// Throws AnotherStekd, PinRefused, TicketTokenLost, DeriverError, TokenKeyError, pkcs11::Error,
    /// TokenError, UriError, std::system_error.
    FleetTokens(const FleetConfig& config, daemon::TokenClaims& claims, const std::string& known_ticket = {});
    FleetTokens(const FleetTokens&) = delete;
    FleetTokens& operator=(const FleetTokens&) = delete;
    ~FleetTokens();

    // Null where there is no such role.
    [[nodiscard]] const RoleToken* origin() const noexcept { return of(origin_); }
    [[nodiscard]] const RoleToken* location() const noexcept { return of(location_); }
    [[nodiscard]] const RoleToken* machine() const noexcept { return of(machine_); }
    [[nodiscard]] OpenToken* ticket() const noexcept { return ticket_.get(); }
    [[nodiscard]] const daemon::Deriver* deriver() const noexcept { return deriver_.get(); }

    /// Throws TokenError if a token's files are gone: SoftHSM itself would go on as if they were there.
    void check_present() const;
    /// Those of the tokens that are in files, each once.
    [[nodiscard]] std::vector<std::string> directories() const;
    /// remove_unfinished_objects() in all of them but the ticket token's, which TicketWork looks after.
    unsigned sweep_unfinished() const;

  private:
    static const RoleToken* of(const std::optional<RoleToken>& role) noexcept {
        return role ? &*role : nullptr;
    }
    void open_all(const FleetConfig& config, daemon::TokenClaims& claims, const std::string& known_ticket);
    void close() noexcept;

    std::shared_ptr<pkcs11::Module> module_;
    std::optional<RoleToken> origin_, location_, machine_;
    std::unique_ptr<OpenToken> ticket_;
    std::unique_ptr<daemon::Deriver> deriver_;
};

/// Who the party is, by its keys in the token. Throws pkcs11::TokenError if it has none: it is not enrolled.
Identity identity_of(const RoleToken& role, const FleetId& fleet, Role kind, const std::string& name,
                     const std::string& location);

}  // namespace stek::fleet
