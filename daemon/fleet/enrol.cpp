#include "daemon/fleet/enrol.hpp"

#include "daemon/fleet/certificates.hpp"
#include "daemon/fleet/identity.hpp"
#include "daemon/fleet/list_desk.hpp"
#include "daemon/fleet/open_engine.hpp"
#include "daemon/fleet/root_key.hpp"
#include "daemon/fleet/token_session.hpp"
#include "daemon/init_parts.hpp"
#include "provider/vault.hpp"

#include <algorithm>
#include <filesystem>

namespace stek::fleet {
namespace {

struct Who {
    std::string name, location;
    const pkcs11::TokenUri* token;
    std::span<const pkcs11::NeededMechanism> needed;
};

Who who(const FleetConfig& config, Role role) {
    const auto missing = [&](const char* section) {
        return daemon::ConfigError(config.file + ": there is no [" + section + "] to be enrolled");
    };
    switch (role) {
        case Role::origin:
            if (!config.origin)
                throw missing("origin");
            return {config.origin->name, "", &config.origin->token, {}};
        case Role::vault:
            if (!config.location)
                throw missing("location");
            return {config.location->vault, config.location->name, &config.location->token,
                    vault_mechanisms()};
        case Role::machine:
            break;
    }
    if (!config.machine)
        throw missing("machine");
    return {config.machine->name, config.machine->location, &config.machine->token, {}};
}

/// Half a pair is what a kill left while it was made: nobody was ever told of it.
TokenKey find_or_make(TokenKeys& keys, Use use) {
    if (auto found = keys.find(use))
        return std::move(*found);
    keys.destroy(use, 0);
    return keys.make(use);
}

}  // namespace

MadeRequest make_request(const FleetConfig& config, Role role) {
    const Who asks = who(config, role);
    const auto fleet = fleet_id_of(read_root_key(config.root));
    refuse_as_root_of_anothers(config.state);
    const daemon::StateDirectory held(config.state);
    TokenSession token(config, *asks.token, asks.needed);
    Identity self{fleet, role, asks.name, asks.location, find_or_make(token.keys(), Use::signing), {}};
    if (role != Role::origin)
        self.sealing = find_or_make(token.keys(), Use::sealing);
    token.sync();
    auto request = self.request();
    auto frame = self.sign(Kind::request, 0, encode_request(request));
    return {std::move(request), std::move(frame)};
}

NatsRequest make_nats_request(const FleetConfig& config, Role role) {
    const auto wanted = role == Role::origin  ? NatsRole::origin
                        : role == Role::vault ? NatsRole::vault
                                              : NatsRole::machine;
    const auto parties = nats_parties(config);
    const auto party = std::ranges::find(parties, wanted, &NatsParty::role);
    const auto tls = nats_tls(config, wanted);
    std::filesystem::create_directories(config.nats->tls);
    if (!std::filesystem::exists(tls.key))
        write_private_key(tls.key, make_private_key().get());
    const auto key = read_private_key(tls.key);
    const auto request = make_certificate_request(*party, key.get());
    const auto path = config.nats->tls + "/" + name_of(wanted) + ".csr";
    daemon::write_text(path, to_pem(request.get()), 0644);
    return {path, fingerprint(request.get())};
}

}  // namespace stek::fleet
