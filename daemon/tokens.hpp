// The two tokens as the daemon uses them: opened together, closed together.
#pragma once

#include "daemon/access.hpp"
#include "daemon/config.hpp"
#include "daemon/deriver.hpp"
#include "daemon/token_claims.hpp"
#include "pkcs11/session.hpp"
#include "provider/ticket_token.hpp"
#include "provider/vault.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace stek::daemon {

/// A token refused the PIN. Trying again could lock it: somebody must look.
class PinRefused : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// The ticket token does not hold what its templates promise, and allow_weak_token is not set.
class WeakToken : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// There is no such ticket token; the vault is there.
class TicketTokenLost : public pkcs11::TokenError {
  public:
    using pkcs11::TokenError::TokenError;
};

/// Module, sessions and provider. One object at a time in a process: with it the module is finalised, because
/// SoftHSM sees a token that was made later only when it is initialised anew.
class Tokens {
  public:
    /// Opens and logs in, each token once it is claimed. Where several tokens match the ticket token's URI,
    /// the one of serial `known_ticket` (may be empty) is it. Throws AnotherStekd, PinRefused,
    /// TicketTokenLost, DeriverError, pkcs11::Error, TokenError, UriError, std::system_error.
    Tokens(const Config& config, TokenClaims& claims, const std::string& known_ticket = {});
    Tokens(const Tokens&) = delete;
    Tokens& operator=(const Tokens&) = delete;
    ~Tokens();

    [[nodiscard]] pkcs11::Session& vault() { return *vault_; }
    [[nodiscard]] pkcs11::Session& ticket() { return *ticket_; }
    [[nodiscard]] const Deriver& deriver() const { return *deriver_; }
    [[nodiscard]] OaepHash oaep() const noexcept { return oaep_; }
    [[nodiscard]] const std::string& ticket_serial() const { return ticket_->token().serial(); }
    [[nodiscard]] bool one_token_for_both() const;

    /// Throws TokenError if a token's files are gone: SoftHSM itself would go on as if they were there.
    void check_present() const;
    /// Those of the tokens that are in files.
    [[nodiscard]] std::vector<std::string> directories() const;
    [[nodiscard]] std::vector<std::string> files() const;  ///< each token.object, where there are files
    void give_access(const Readers& readers) const;  ///< to the ticket token's files, where it has files
    /// Keeps a copy of each token.object in the state directory.
    void back_up(const std::string& state) const;
    /// Where the tokens are in files: remove_unfinished_objects().
    unsigned sweep_unfinished() const;

  private:
    std::shared_ptr<pkcs11::Module> module_;
    std::optional<pkcs11::Session> vault_, ticket_;
    std::string vault_directory_, ticket_directory_;  ///< empty if the token is not in files
    OaepHash oaep_ = OaepHash::sha1;
    std::unique_ptr<Deriver> deriver_;
};

/// What the ticket token does not enforce; empty if it is as strong as it must be. Makes an RSA pair for it,
/// and destroys it. Throws pkcs11::Error.
std::vector<std::string> weaknesses_of(pkcs11::Session& ticket, bool private_pairs);
/// Says them in the log. Throws WeakToken if there are any, unless that is allowed.
void judge(const std::vector<std::string>& weaknesses, bool allow_weak_token);

/// Where several match, the one of serial `known` (may be empty) is it. Throws TicketTokenLost if none does,
/// pkcs11::Error, TokenError.
std::shared_ptr<pkcs11::Token> find_ticket_token(const std::shared_ptr<pkcs11::Module>& module,
                                                 const pkcs11::TokenUri& uri, const std::string& known);
/// Throws TokenError if there is no token's file in the directory, which may be empty: a token not in files.
void check_token_files(const std::string& directory, const pkcs11::Session& session);

/// Logs in if the token wants it or the URI names a PIN. Throws PinRefused, pkcs11::Error, UriError.
void log_in(pkcs11::Session& session, const pkcs11::TokenUri& uri, bool needed);

}  // namespace stek::daemon
