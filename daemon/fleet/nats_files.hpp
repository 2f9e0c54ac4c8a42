// The files of an engine's NATS servers: their configuration, what each party may do, keys and certificates.
#pragma once

#include "daemon/fleet/certificates.hpp"
#include "daemon/fleet/nats_access.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace stek::fleet {

/// Where one of the servers is.
struct NatsServer {
    std::string name;  ///< a party's name; its directory is called so
    std::string host;  ///< by which parties and the other servers reach it
    std::uint16_t port = 4222, cluster_port = 6222;
    std::string directory = "/etc/nats-stek";  ///< where its files are put, at its host
    std::string store = "/var/lib/nats-stek";  ///< JetStream's own records; no value
};

struct NatsPlan {
    std::vector<NatsServer> servers;
    std::uint64_t memory = std::uint64_t{1} << 30;  ///< bytes, for all values of the fleet, at each server
};

/// nats-server's configuration (2.9). It lets in whoever has a certificate of the authority's that is in
/// grants.conf, reads that file at SIGHUP, and has no JetStream on disk: values are in memory or refused.
/// Servers know each other by certificates of another authority, which signs nothing else: with a party's
/// nobody becomes a server.
std::string nats_server_conf(const NatsPlan& plan, const NatsServer& self);

/// grants.conf: the parties, each with its subjects.
std::string nats_grants_conf(const std::vector<NatsAccess>& parties);

/// Into DIRECTORY/<server's name>, for each: nats.conf, grants.conf, authority.crt, server.crt, server.key,
/// routes.crt, route.crt, route.key; keys 0600. What is there already stays, grants.conf excepted. The key
/// that signs the routes' certificates is forgotten at the end, so all servers' are made at one time: if one
/// is missing, std::runtime_error says so.
void write_nats_files(const std::string& directory, const NatsPlan& plan, const Authority& authority,
                      const std::string& grants);

}  // namespace stek::fleet
