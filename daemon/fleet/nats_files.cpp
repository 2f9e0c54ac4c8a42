#include "daemon/fleet/nats_files.hpp"

#include "daemon/fleet/engine.hpp"
#include "daemon/init_parts.hpp"

#include <filesystem>
#include <stdexcept>

namespace stek::fleet {
namespace {

namespace fs = std::filesystem;

constexpr unsigned days_of_servers = 3650, days_of_routes = 3650;
/// A value, and the headers around it.
constexpr std::size_t max_payload = Engine::max_value + (std::size_t{64} << 10);

std::string quoted(const std::string& text) {
    return "\"" + text + "\"";
}

/// All texts here are of names, hosts, ports and paths: nothing that would have to be escaped.
std::string list_of(const std::vector<std::string>& texts, const std::string& indent) {
    std::string list = "[";
    for (const auto& text : texts)
        list += (list.size() == 1 ? "\n" : ",\n") + indent + "  " + quoted(text);
    return list + "\n" + indent + "]";
}

std::string at(const std::string& host, std::uint16_t port) {
    const bool is_ipv6 = host.find(':') != std::string::npos;
    return (is_ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string tls(const std::string& directory, const char* certificate, const char* authority,
                const char* verify) {
    return "  tls {\n    cert_file: " + quoted(directory + "/" + certificate + ".crt") +
           "\n    key_file: " + quoted(directory + "/" + certificate + ".key") +
           "\n    ca_file: " + quoted(directory + "/" + authority + ".crt") + "\n    " + verify +
           ": true\n    timeout: 5\n  }\n";
}

void write_pair(const std::string& directory, const std::string& name, const Authority& authority,
                const NatsServer& server, unsigned days) {
    const auto key = make_private_key();
    const auto certificate = issue_to_server(authority, server.name, {server.host}, key.get(), days);
    write_private_key(directory + "/" + name + ".key", key.get());
    daemon::write_text(directory + "/" + name + ".crt", to_pem(certificate.get()), 0644);
}

/// All but who is let in.
void make_servers(const std::string& directory, const NatsPlan& plan, const Authority& authority) {
    const auto routes_key = make_private_key();
    const auto routes = make_authority("stek routes", routes_key.get(), days_of_routes);
    for (const auto& server : plan.servers) {
        const auto own = directory + "/" + server.name;
        daemon::make_directory(own, 0750);
        write_pair(own, "server", authority, server, days_of_servers);
        write_pair(own, "route", {routes.get(), routes_key.get()}, server, days_of_routes);
        daemon::write_text(own + "/authority.crt", to_pem(authority.certificate), 0644);
        daemon::write_text(own + "/routes.crt", to_pem(routes.get()), 0644);
        daemon::write_text(own + "/nats.conf", nats_server_conf(plan, server), 0644);
    }
}

}  // namespace

std::string nats_server_conf(const NatsPlan& plan, const NatsServer& self) {
    const auto& directory = self.directory;
    std::string conf = "# NATS server " + self.name +
                       ", for a fleet of stekd. The parties and what each may do are in grants.conf: SIGHUP "
                       "reads it anew.\n";
    conf += "server_name: " + quoted(self.name) + "\nlisten: " + quoted(at(self.host, self.port)) +
            "\nmax_payload: " + std::to_string(max_payload) +
            "\n# A server whose link is gone and that does not know it refuses the new one.\nping_interval: "
            "\"5s\"\nping_max: 2" +
            "\n\n# On disk: who leads, and how streams are set up. Values are in memory; grants.conf refuses "
            "a stream on "
            "disk.\njetstream {\n  store_dir: " +
            quoted(self.store) + "\n  max_memory_store: " + std::to_string(plan.memory) + "\n}\n\n";
    conf += tls(directory, "server", "authority", "verify_and_map").substr(2);
    conf += "\ninclude \"grants.conf\"\n";
    if (plan.servers.size() > 1) {
        std::vector<std::string> routes;
        for (const auto& server : plan.servers)
            if (server.name != self.name)
                routes.push_back("tls://" + at(server.host, server.cluster_port));
        conf += "\ncluster {\n  name: \"stek\"\n  listen: " + quoted(at(self.host, self.cluster_port)) +
                "\n  no_advertise: true\n  routes: " + list_of(routes, "  ") + "\n" +
                tls(directory, "route", "routes", "verify") + "}\n";
    }
    return conf;
}

// The system account is the one that servers have by themselves. One that is named here they make anew at
// each SIGHUP, and 2.9.10 then forgets to tell routes that come later where its answers go: after a partition
// nobody at such a server gets any (seen).
std::string nats_grants_conf(const std::vector<NatsAccess>& parties) {
    std::string conf =
        "# Made by stekctl: who may touch which subjects.\naccounts {\n  STEK: {\n    "
        "jetstream: { max_memory: -1, max_file: 0 }\n    users: [\n";
    for (const auto& access : parties) {
        conf += "      {\n        user: " + quoted(access.user) +
                "\n        permissions: {\n          publish: " + list_of(access.publish, "          ") +
                "\n          subscribe: " + list_of(access.subscribe, "          ") +
                "\n        }\n      }\n";
    }
    return conf + "    ]\n  }\n}\n";
}

void write_nats_files(const std::string& directory, const NatsPlan& plan, const Authority& authority,
                      const std::string& grants) {
    std::size_t there = 0;
    for (const auto& server : plan.servers)
        there += fs::exists(fs::path(directory) / server.name) ? 1 : 0;
    if (there != 0 && there != plan.servers.size())
        throw std::runtime_error(directory +
                                 " has the files of some of these servers: they are made together, "
                                 "in an empty directory");
    if (there == 0)
        make_servers(directory, plan, authority);
    for (const auto& server : plan.servers)
        daemon::write_text(directory + "/" + server.name + "/grants.conf", grants, 0644);
}

}  // namespace stek::fleet
