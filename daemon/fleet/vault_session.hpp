// A location's vault token, opened for one command: nothing of the location's other work is needed.
#pragma once

#include "daemon/fleet/config.hpp"
#include "daemon/fleet/identity.hpp"
#include "daemon/fleet/token_session.hpp"

#include <string>

namespace stek::fleet {

/// The token of [location]; see TokenSession.
class VaultSession {
  public:
    /// Opens as TokenSession does, and ends what a kill may have left half-destroyed of the chain. Throws
    /// ConfigError (there is no [location]), and as TokenSession.
    explicit VaultSession(const FleetConfig& config);

    [[nodiscard]] pkcs11::Session& session() { return token_.session(); }
    [[nodiscard]] TokenKeys& keys() { return token_.keys(); }
    /// Who the vault is, by its keys in the token; they are not to be used once this object is gone. Throws
    /// TokenError if it has none: it is not enrolled.
    Identity identity(const FleetId& fleet);
    void sync() const { token_.sync(); }

  private:
    std::string location_, vault_;
    TokenSession token_;
};

}  // namespace stek::fleet
