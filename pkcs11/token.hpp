// One token: found by URI, checked for what it must be able to do, logged in to once.
#pragma once

#include "pkcs11/module.hpp"
#include "pkcs11/secret.hpp"
#include "pkcs11/uri.hpp"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace stek::pkcs11 {

/// A mechanism that must be there, with the functions (CKF_DERIVE, CKF_ENCRYPT...) it must offer.
struct NeededMechanism {
    CK_MECHANISM_TYPE type;
    CK_FLAGS flags;
};

/// A token in a slot. Immutable but for the login state, which Cryptoki keeps per process. Thread-safe.
class Token {
  public:
    /// Finds the one token that the URI means. Where several match it, the one with serial `preferred`, if
    /// not empty: an old token that comes back beside its replacement must not end anything. Throws
    /// TokenError (none, several, not initialised), Error.
    static std::shared_ptr<Token> find(const std::shared_ptr<Module>& module, const TokenUri& uri,
                                       const std::string& preferred = {});

    /// Throws TokenError naming each mechanism that is absent or lacks a function: "token stek-ticket has no
    /// CKM_AES_GCM".
    void require(std::span<const NeededMechanism> mechanisms) const;
    [[nodiscard]] bool offers(CK_MECHANISM_TYPE type, CK_FLAGS flags) const noexcept;

    /// C_Login as CKU_USER in `session`'s process-wide state; already logged in is fine. A wrong PIN throws
    /// Error and is never tried again, by no object and no process forked from the one that mapped the
    /// module: later calls throw without touching the token, because real tokens lock themselves. Throws
    /// TokenError if another process holds up the token in its own login. An empty PIN means the protected
    /// authentication path, where the token has one.
    void login(class Session& session, const Secret& pin);

    [[nodiscard]] const std::string& label() const noexcept { return label_; }    ///< trailing blanks cut
    [[nodiscard]] const std::string& serial() const noexcept { return serial_; }  ///< trailing blanks cut
    [[nodiscard]] const std::string& manufacturer() const noexcept { return manufacturer_; }  ///< likewise
    [[nodiscard]] CK_SLOT_ID slot() const noexcept { return slot_; }
    [[nodiscard]] CK_FLAGS flags() const noexcept { return flags_; }  ///< as read when found (C_GetTokenInfo)
    [[nodiscard]] Module& module() const noexcept { return *module_; }
    [[nodiscard]] const std::shared_ptr<Module>& shared_module() const noexcept { return module_; }

    Token(std::shared_ptr<Module> module, CK_SLOT_ID slot, const CK_TOKEN_INFO& info);

  private:
    std::shared_ptr<Module> module_;
    CK_SLOT_ID slot_;
    CK_FLAGS flags_;
    std::string label_, serial_, manufacturer_;
    std::shared_ptr<struct LoginState> login_;
};

}  // namespace stek::pkcs11
