// A party's token, opened for one command.
#pragma once

#include "daemon/fleet/config.hpp"
#include "daemon/fleet/token_keys.hpp"
#include "daemon/token_claims.hpp"
#include "pkcs11/session.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string>

namespace stek::fleet {

/// Module, claim, session and keys of one token; stekd must not run on it meanwhile. One object at a time in
/// a process: with it the module is finalised. One thread at a time.
class TokenSession {
  public:
    /// Opens, claims and logs in; ends what a kill may have left half-written in the token, and keeps the
    /// copy of its token.object in the state directory, which is there already, as stekd does. `needed`:
    /// beyond what TokenKeys needs. Throws AnotherStekd, PinRefused, TokenKeyError, pkcs11::Error,
    /// TokenError, UriError, std::system_error.
    TokenSession(const FleetConfig& config, const pkcs11::TokenUri& uri,
                 std::span<const pkcs11::NeededMechanism> needed = {});
    TokenSession(const TokenSession&) = delete;
    TokenSession& operator=(const TokenSession&) = delete;
    ~TokenSession();

    [[nodiscard]] pkcs11::Session& session() { return *session_; }
    [[nodiscard]] TokenKeys& keys() { return *keys_; }
    [[nodiscard]] const std::string& label() const { return session_->token().label(); }
    /// What was written to the token is on the disk when this returns; nothing to do if it is not in files.
    /// Throws std::system_error.
    void sync() const;

  private:
    void open(const FleetConfig& config, const pkcs11::TokenUri& uri,
              std::span<const pkcs11::NeededMechanism> needed);
    void close() noexcept;

    daemon::TokenClaims claims_;
    std::string directory_;  ///< empty if the token is not in files
    std::shared_ptr<pkcs11::Module> module_;
    std::optional<pkcs11::Session> session_;
    std::optional<TokenKeys> keys_;
};

}  // namespace stek::fleet
