// A location's vault token, opened for one command: nothing of the location's other work is needed.
#pragma once

#include "daemon/fleet/config.hpp"
#include "daemon/fleet/identity.hpp"
#include "daemon/fleet/token_keys.hpp"
#include "daemon/token_claims.hpp"
#include "pkcs11/session.hpp"

#include <memory>
#include <optional>
#include <string>

namespace stek::fleet {

/// Module, claim, session and keys of the vault of [location]; stekd must not run on it meanwhile. One object
/// at a time in a process: with it the module is finalised. One thread at a time.
class VaultSession {
  public:
    /// Opens, claims and logs in; ends what a kill may have left half-written or half-destroyed in the token,
    /// and keeps the copy of its token.object in the state directory as stekd does.
    /// Throws ConfigError (there is no [location]), AnotherStekd, PinRefused, TokenKeyError, pkcs11::Error,
    /// TokenError, UriError, std::system_error.
    explicit VaultSession(const FleetConfig& config);
    VaultSession(const VaultSession&) = delete;
    VaultSession& operator=(const VaultSession&) = delete;
    ~VaultSession();

    [[nodiscard]] pkcs11::Session& session() { return *session_; }
    [[nodiscard]] TokenKeys& keys() { return *keys_; }
    /// Who the vault is, by its keys in the token; they are not to be used once this object is gone. Throws
    /// TokenError if it has none: it is not enrolled.
    Identity identity(const FleetId& fleet);
    /// What was written to the token is on the disk when this returns; nothing to do if it is not in files.
    /// Throws std::system_error.
    void sync() const;

  private:
    void open(const FleetConfig& config);
    void close() noexcept;

    std::string location_, vault_;
    daemon::TokenClaims claims_;
    std::string directory_;  ///< empty if the token is not in files
    std::shared_ptr<pkcs11::Module> module_;
    std::optional<pkcs11::Session> session_;
    std::optional<TokenKeys> keys_;
};

}  // namespace stek::fleet
