#include "daemon/fleet/open_engine.hpp"

#include "daemon/fleet/directory_engine.hpp"
#include "daemon/fleet/nats_engine.hpp"

#include <unistd.h>

namespace stek::fleet {
namespace {

/// Epochs for which a bucket keeps what nobody stores anew, beyond the time in which old tickets open. What
/// is in use is stored anew when it is missing.
constexpr std::int64_t kept_epochs = 24;
/// Of JetStream's copies; with fewer servers there is one.
constexpr unsigned replicas = 3;

}  // namespace

std::vector<NatsParty> nats_parties(const FleetConfig& config) {
    std::vector<NatsParty> parties;
    if (config.root_token)
        parties.push_back({NatsRole::root, "root", ""});
    if (config.origin)
        parties.push_back({NatsRole::origin, config.origin->name, ""});
    if (config.location)
        parties.push_back({NatsRole::vault, config.location->vault, config.location->name});
    if (config.machine)
        parties.push_back({NatsRole::machine, config.machine->name, config.machine->location});
    return parties;
}

NatsTls nats_tls(const FleetConfig& config, NatsRole role) {
    const auto own = config.nats->tls + "/" + name_of(role);
    return {config.nats->tls + "/authority.crt", own + ".crt", own + ".key"};
}

std::unique_ptr<Engine> open_engine(const FleetConfig& config, OpenedBy opened_by) {
    if (!config.nats)
        return make_directory_engine(config.engine_directory);
    NatsSettings settings;
    settings.servers = config.nats->servers;
    settings.replicas = settings.servers.size() < replicas ? 1 : replicas;
    settings.keep_s = static_cast<std::int64_t>(config.policy.session_timeout) +
                      kept_epochs * static_cast<std::int64_t>(config.policy.period);
    for (const auto& party : nats_parties(config)) {
        const auto tls = nats_tls(config, party.role);
        // Whoever may ask stekd's host for its fleet may not have the root's key at hand.
        if (party.role == NatsRole::root && config.has_role() &&
            (opened_by == OpenedBy::stekd || ::access(tls.key.c_str(), R_OK) != 0))
            continue;
        settings.members.push_back({access_of(party), tls});
    }
    return make_nats_engine(std::move(settings));
}

}  // namespace stek::fleet
