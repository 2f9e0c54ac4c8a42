// A party asks to be enrolled: its keys in its token, and the request that they sign.
#pragma once

#include "daemon/fleet/config.hpp"
#include "daemon/fleet/party.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace stek::fleet {

struct MadeRequest {
    EnrolmentRequest request;
    std::vector<std::uint8_t> frame;
};

/// For this configuration's party of that role. Its keys are made in its token if they are not there; a
/// second call asks for the same ones, with the same fingerprint. Durable on return. stekd must not run on
/// the token meanwhile. Throws ConfigError (no such role; engine.root), AnotherStekd, and as TokenSession.
MadeRequest make_request(const FleetConfig& config, Role role);

struct NatsRequest {
    std::string path, fingerprint;
};
/// The party's request for a certificate, engine.tls/<role>.csr; its key, <role>.key (0600), is made if it is
/// not there. Throws ConfigError, std::runtime_error.
NatsRequest make_nats_request(const FleetConfig& config, Role role);

}  // namespace stek::fleet
