// The engine that a configuration names.
#pragma once

#include "daemon/fleet/config.hpp"
#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/nats_connection.hpp"

#include <memory>

namespace stek::fleet {

enum class OpenedBy : std::uint8_t {
    stekd,    ///< with the certificates of its roles
    stekctl,  ///< with that of who has the root key, too, where there is one
};

/// Makes no connection and opens no file yet.
std::unique_ptr<Engine> open_engine(const FleetConfig& config, OpenedBy opened_by);

/// The parties that a configuration is of, as NATS knows them: root first.
std::vector<NatsParty> nats_parties(const FleetConfig& config);
/// A party's files in engine.tls: authority.crt, <role>.crt and <role>.key.
NatsTls nats_tls(const FleetConfig& config, NatsRole role);

}  // namespace stek::fleet
