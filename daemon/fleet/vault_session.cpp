#include "daemon/fleet/vault_session.hpp"

#include "provider/vault.hpp"

namespace stek::fleet {

VaultSession::VaultSession(const FleetConfig& config)
    : location_(require_location(config).name),
      vault_(config.location->vault),
      token_(config, config.location->token, vault_mechanisms()) {
    Chain(token_.session()).destroy_older();
}

Identity VaultSession::identity(const FleetId& fleet) {
    auto signing = keys().find(Use::signing);
    auto sealing = keys().find(Use::sealing);
    if (!signing || !sealing)
        throw pkcs11::TokenError("token " + token_.label() + " holds no keys of vault " + vault_ +
                                 ": it has to be enrolled first (stekctl fleet enroll location)");
    return {fleet, Role::vault, vault_, location_, std::move(*signing), std::move(sealing)};
}

}  // namespace stek::fleet
