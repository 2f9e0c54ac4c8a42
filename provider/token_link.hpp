// One process's way to the ticket token: the module, the token, and the session that owns the unwrapped keys.
#pragma once

#include "pkcs11/session.hpp"
#include "provider/settings.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace stek {

struct TokenLink {
    std::shared_ptr<pkcs11::Module> module;
    std::shared_ptr<pkcs11::Token> token;
    pkcs11::Session keys;  ///< unwrapped keys are its session objects: they die with it
    std::uint64_t id;      ///< never the same twice in a process

    /// Closes the session that owns the keys. False if it may still be there: a thread that sleeps can keep
    /// this object for days, so nobody should leave that to its end.
    bool destroy_keys() noexcept;
    /// In a child, of its parent's link, while nobody is in the module: where the token is memory of the
    /// process, the child has a copy of the keys, and loses it. Other tokens are left alone: a call there
    /// could reach the parent's session.
    void destroy_inherited_keys() noexcept;
};

/// C_Initialize (fine if another has), the token of the URI, its mechanisms, a read-only session, a login
/// where the URI has a pin-source. `serial` is the one the ring is for. On failure the module is finalised
/// again, if it was we who initialised it. Throws pkcs11::Error, TokenError, UriError.
std::shared_ptr<TokenLink> connect_token(const Settings& settings,
                                         const std::shared_ptr<const pkcs11::Library>& library,
                                         const std::string& serial);

/// After these only a new link helps: the token or our session with it is gone, or the module was finalised
/// by another.
bool breaks_link(CK_RV rv) noexcept;

}  // namespace stek
