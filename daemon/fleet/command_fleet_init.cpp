// `stekctl fleet init`.
#include "daemon/exit_codes.hpp"
#include "daemon/fleet/command_fleet.hpp"
#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/engine_authority.hpp"
#include "daemon/fleet/fleet_init.hpp"
#include "daemon/fleet/party.hpp"
#include "daemon/state.hpp"

#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

namespace stek::fleet {
namespace {

struct Options {
    std::string config = daemon::default_config;
    std::vector<std::string> servers;
};

std::uint16_t port_in(const std::string& text, const std::string& port) {
    constexpr unsigned most = 65535;
    const bool is_number =
        !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == std::string::npos;
    const auto number = is_number ? std::stoul(port) : 0;
    if (number == 0 || number > most)
        throw daemon::ConfigError("--nats " + text + ": must be NAME=HOST[:PORT[:PORT OF THE CLUSTER]]");
    return static_cast<std::uint16_t>(number);
}

/// NAME=HOST[:PORT[:CLUSTER_PORT]]; HOST a name or an IPv4 address.
NatsServer server_from(const std::string& text) {
    NatsServer server;
    const auto equals = text.find('=');
    server.name = text.substr(0, equals);
    const auto rest = equals == std::string::npos ? "" : text.substr(equals + 1);
    const auto first = rest.find(':'),
               second = rest.find(':', first == std::string::npos ? first : first + 1);
    server.host = rest.substr(0, first);
    if (first != std::string::npos)
        server.port = port_in(text, rest.substr(first + 1, second - first - 1));
    if (second != std::string::npos)
        server.cluster_port = port_in(text, rest.substr(second + 1));
    if (!is_party_name(server.name) || server.host.empty() ||
        server.host.find_first_of("\"\\/@ ") != std::string::npos)
        (void)port_in(text, "");
    return server;
}

void tell_of_servers(const EngineAuthority& authority, const std::vector<NatsServer>& servers) {
    std::cout << "certificates and the servers' files are made\n";
    for (const auto& server : servers)
        std::cout << "  " << authority.servers_directory() << "/" << server.name << " goes to " << server.host
                  << ":" << server.directory << ", where:  nats-server -c " << server.directory
                  << "/nats.conf\n";
}

int init(const Options& options) {
    const auto config = load_fleet_config(options.config);
    std::vector<NatsServer> servers;
    for (const auto& text : options.servers)
        servers.push_back(server_from(text));
    if (!servers.empty() && !config.nats)
        throw daemon::ConfigError(config.file + ": engine.nats: --nats is for an engine that is NATS");
    if (config.nats) {
        EngineAuthority authority(config, EngineAuthority::Missing::make);
        if (!servers.empty()) {
            authority.write_servers(servers);
            tell_of_servers(authority, servers);
        }
    }
    try {
        const auto made = init_fleet(config);
        std::cout << "fleet " << daemon::hex(made.id) << (made.is_new ? "" : " (it was there already)")
                  << "\n"
                  << "  each party gets a copy of " << config.root << ", for engine.root in its stekd.toml\n"
                  << "  then, where it is:  stekctl fleet enroll origin|location|machine\n";
    } catch (const EngineError& error) {
        if (servers.empty())
            throw;
        throw EngineError(std::string(error.what()) + "; start the servers, then run this once more");
    }
    return daemon::exit_ok;
}

}  // namespace

void add_fleet_init(CLI::App& fleet, daemon::Chosen& chosen) {
    const auto options = std::make_shared<Options>();
    auto* command = fleet.add_subcommand("init", "makes the root key, in the token of [root]");
    add_config_option(*command, options->config);
    command
        ->add_option("--nats", options->servers,
                     "NAME=HOST[:PORT[:PORT OF THE CLUSTER]]: makes the files of these NATS servers")
        ->expected(1, -1);
    command->callback([&chosen, options] { chosen = [options] { return init(*options); }; });
}

}  // namespace stek::fleet
