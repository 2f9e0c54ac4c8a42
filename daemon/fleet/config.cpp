#include "daemon/fleet/config.hpp"

#include "daemon/fleet/party.hpp"
#include "daemon/toml_section.hpp"
#include "provider/key_ring.hpp"

#include <algorithm>
#include <array>

namespace stek::fleet {
namespace {

using daemon::TomlSection;

std::string party_name(TomlSection& section, std::string_view key) {
    auto name = section.text(key);
    if (!is_party_name(name))
        section.fail_key(key, "must be 1 to 64 of letters, digits, '_' and '-'");
    return name;
}

std::string location_name(TomlSection& section, std::string_view key, std::optional<std::string> otherwise) {
    auto name = section.text(key, std::move(otherwise));
    if (!is_location(name))
        section.fail_key(key, "must be 1 to 64 of letters, digits, '.', '_' and '-'");
    return name;
}

FleetConfig::Origin read_origin(TomlSection section) {
    return {party_name(section, "name"), section.uri("uri")};
}

FleetConfig::Location read_location(TomlSection section) {
    return {location_name(section, "name", {}), party_name(section, "vault"), section.uri("uri")};
}

FleetConfig::Machine read_machine(TomlSection section, const std::optional<FleetConfig::Location>& beside) {
    FleetConfig::Machine machine;
    machine.name = party_name(section, "name");
    machine.location =
        location_name(section, "location", beside ? std::optional(beside->name) : std::nullopt);
    if (beside && machine.location != beside->name)
        section.fail_key("location", "must be that of [location], \"" + beside->name + "\"");
    machine.token = section.uri("uri");
    machine.ticket = section.uri("ticket");
    machine.private_pairs = section.flag("private_pairs", true);
    machine.remake_pins = section.path("remake_pins", "");
    if (!machine.remake_pins.empty() && !machine.ticket.token_label())
        section.fail_key("remake_pins", "needs a token attribute in ticket: the label of what is made anew");
    machine.readers = section.users("readers");
    machine.keyring = section.path("keyring");
    machine.stats = section.path("stats", "");
    return machine;
}

bool is_server(const std::string& text) {
    const auto colon = text.rfind(':');
    const auto port = colon == std::string::npos ? "" : text.substr(colon + 1);
    return colon != 0 && !port.empty() && port.size() <= 5 &&
           std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; }) &&
           text.find_first_of("/@ ") == std::string::npos && std::stoul(port) <= 65535 &&
           std::stoul(port) > 0;
}

void read_engine(TomlSection& section, FleetConfig& config) {
    config.engine_directory = section.path("directory", "");
    FleetConfig::Nats nats{
        section.texts("nats", "must be an array of servers, such as [\"nats1.example.net:4222\"]"),
        section.path("tls", "")};
    if (config.engine_directory.empty() == nats.servers.empty())
        section.fail_key(nats.servers.empty() ? "directory" : "nats",
                         "there must be either directory or nats, which says where the engine is");
    if (nats.servers.empty() != nats.tls.empty())
        section.fail_key("tls", nats.tls.empty()
                                    ? "is missing: with nats, the directory of certificates and keys"
                                    : "is for nats");
    if (nats.servers.empty())
        return;
    for (const auto& server : nats.servers)
        if (!is_server(server))
            section.fail_key("nats", "\"" + server + "\" must be HOST:PORT");
    config.nats = std::move(nats);
}

/// One process initialises one module once: all tokens are behind it.
void check_module(const std::string& file, const FleetConfig& config) {
    const auto same = [&](const char* key, const pkcs11::TokenUri& uri) {
        if (*uri.module_path() != config.module_path())
            throw daemon::ConfigError(file + ": " + key + ": must have the same module-path as the others, " +
                                      config.module_path());
    };
    if (config.root_token)
        same("root.uri", *config.root_token);
    if (config.location)
        same("location.uri", config.location->token);
    if (config.machine) {
        same("machine.uri", config.machine->token);
        same("machine.ticket", config.machine->ticket);
    }
}

}  // namespace

const std::string& FleetConfig::module_path() const {
    const auto& any = origin     ? origin->token
                      : location ? location->token
                      : machine  ? machine->token
                                 : *root_token;
    return *any.module_path();
}

std::string FleetConfig::location_name() const {
    return location ? location->name : machine ? machine->location : "";
}

daemon::Config common_config(const FleetConfig& config) {
    daemon::Config common;
    common.file = config.file;
    common.policy = config.policy;
    common.stale_epochs = config.stale_epochs;
    common.ring_version = config.ring_version;
    common.allow_weak_token = config.allow_weak_token;
    common.location = config.location_name();
    common.module_config = config.module_config;
    common.provider = config.provider;
    common.state = config.state;
    common.control = config.control;
    common.server_config = config.server_config;
    common.metrics = config.metrics;
    if (config.location)
        common.vault = config.location->token;
    if (const auto& machine = config.machine) {
        common.readers = machine->readers;
        common.ticket = machine->ticket;
        common.private_pairs = machine->private_pairs;
        common.remake_pins = machine->remake_pins;
        common.keyring = machine->keyring;
        common.stats = machine->stats;
    }
    return common;
}

void require_role(const FleetConfig& config) {
    if (!config.has_role())
        throw daemon::ConfigError(config.file +
                                  ": [root] is for stekctl; for stekd there must be a role: [origin], "
                                  "[location] or [machine]");
}

const FleetConfig::Location& require_location(const FleetConfig& config) {
    if (!config.location)
        throw daemon::ConfigError(config.file + ": there is no [location], so there is no vault here");
    return *config.location;
}

bool is_fleet_config(const std::string& file) {
    return daemon::parse_toml(file).contains("engine");
}

FleetConfig load_fleet_config(const std::string& file) {
    const auto table = daemon::parse_toml(file);
    TomlSection top(file, "", table,
                    {"period", "session_timeout", "stale_epochs", "ring_version", "allow_weak_token",
                     "engine", "origin", "location", "machine", "root", "paths"});
    FleetConfig config;
    config.file = file;
    read_numbers(top, config.policy, config.stale_epochs);
    config.ring_version = static_cast<unsigned>(top.number("ring_version", 1, 1, 1));
    config.allow_weak_token = top.flag("allow_weak_token", false);

    auto engine = top.section("engine", {"directory", "nats", "tls", "root"});
    read_engine(engine, config);
    config.root = engine.path("root");

    if (auto section = top.section_if_there("origin", {"name", "uri"}))
        config.origin = read_origin(std::move(*section));
    if (auto section = top.section_if_there("location", {"name", "vault", "uri"}))
        config.location = read_location(std::move(*section));
    if (auto section = top.section_if_there("machine", {"name", "location", "uri", "ticket", "private_pairs",
                                                        "remake_pins", "readers", "keyring", "stats"}))
        config.machine = read_machine(std::move(*section), config.location);
    if (auto section = top.section_if_there("root", {"uri"}))
        config.root_token = section->uri("uri");
    if (!config.has_role() && !config.root_token)
        top.fail_key("engine",
                     "there must be a role beside it: [origin], [location] or [machine]; or [root], where "
                     "the fleet's lists are signed");

    auto paths =
        top.section("paths", {"module_config", "provider", "state", "control", "server_config", "metrics"});
    config.module_config = paths.path("module_config", "");
    config.provider = config.location ? paths.path("provider") : paths.path("provider", "");
    config.state = paths.path("state");
    config.control = paths.path("control", "");
    config.server_config = paths.path("server_config", "");
    config.metrics = paths.path("metrics", "");
    check_module(file, config);
    refuse_shared_places(common_config(config));
    return config;
}

}  // namespace stek::fleet
