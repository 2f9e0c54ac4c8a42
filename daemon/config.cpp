#include "daemon/config.hpp"

#include "daemon/toml_section.hpp"

#include <algorithm>
#include <filesystem>
#include <vector>

namespace stek::daemon {
namespace {

constexpr std::int64_t longest_period = 366LL * 86400;
constexpr std::int64_t longest_timeout = 366LL * 86400;
constexpr std::int64_t most_stale_epochs = 48;
constexpr std::int64_t newest_ring_version = 1;
// Lost rings and jumping clocks add records; the ring must have room for some.
constexpr std::uint64_t spare_records = 16;

bool fits_a_ring(const Policy& policy) {
    return policy.records_alive() + spare_records <= max_ring_records;
}

std::string room_in_a_ring(const Policy& policy) {
    return "with a period of " + std::to_string(policy.period) + " s it may be at most " +
           std::to_string(longest_session_timeout(policy)) + " s, for a key ring holds " +
           std::to_string(max_ring_records) + " records";
}

}  // namespace

std::uint64_t longest_session_timeout(const Policy& policy) noexcept {
    return policy.period * (max_ring_records - spare_records - 2 - policy.ahead());
}

void check_numbers(const Policy& policy, unsigned stale_epochs, const NumberNames& names) {
    const auto within = [](const std::string& name, std::uint64_t value, std::int64_t least,
                           std::int64_t most) {
        if (value < static_cast<std::uint64_t>(least) || value > static_cast<std::uint64_t>(most))
            throw ConfigError(name + ": " + whole_number(least, most) + ", not " + std::to_string(value));
    };
    within(names.period, policy.period, 1, longest_period);
    within(names.session_timeout, policy.session_timeout, 1, longest_timeout);
    within(names.stale_epochs, stale_epochs, 0, most_stale_epochs);
    if (!fits_a_ring(policy))
        throw ConfigError(names.session_timeout + ": " + room_in_a_ring(policy));
}

void read_numbers(TomlSection& top, Policy& policy, unsigned& stale_epochs) {
    policy.period = static_cast<std::uint64_t>(top.number("period", 1, longest_period, 3600));
    policy.session_timeout =
        static_cast<std::uint64_t>(top.number("session_timeout", 1, longest_timeout, 7200));
    if (!fits_a_ring(policy))
        top.fail_key("session_timeout", room_in_a_ring(policy));
    stale_epochs = static_cast<unsigned>(top.number("stale_epochs", 0, most_stale_epochs, 2));
}

void refuse_shared_places(const Config& config) {
    struct Place {
        const char* key;
        std::filesystem::path path;
    };
    std::vector<Place> places;
    const auto add = [&](const char* key, const std::string& path) {
        if (!path.empty())
            places.push_back({key, std::filesystem::path(path).lexically_normal()});
    };
    add("keyring", config.keyring);
    add("stats", config.stats);
    add("state", config.state);
    add("control", config.control);
    add("metrics", config.metrics);
    for (auto place = places.begin(); place != places.end(); ++place)
        for (auto other = places.begin(); other != place; ++other)
            if (place->path == other->path)
                throw ConfigError(config.file + ": " + place->key + ": " + place->path.string() +
                                  " is that of " + other->key + " already");
    const auto normal = [](const std::filesystem::path& directory) {
        return directory.lexically_normal() / "";
    };
    if (!config.stats.empty() &&
        normal(config.stats) == normal(std::filesystem::path(config.keyring).parent_path()))
        throw ConfigError(config.file +
                          ": stats: servers write there, it must not be the directory of the key ring");
}

Config load_config(const std::string& file) {
    const auto table = parse_toml(file);
    TomlSection top(file, "", table,
                    {"location", "period", "session_timeout", "stale_epochs", "ring_version", "readers",
                     "allow_weak_token", "vault", "ticket", "paths"});

    const auto location = top.text("location");
    if (!is_location(location))
        top.fail_key("location", "must be 1 to 64 of letters, digits, '.', '_' and '-'");
    Policy policy;
    unsigned stale_epochs = 0;
    read_numbers(top, policy, stale_epochs);
    const auto ring_version = static_cast<unsigned>(top.number("ring_version", 1, newest_ring_version, 1));
    auto readers = top.users("readers");
    const bool allow_weak_token = top.flag("allow_weak_token", false);

    auto vault = top.section("vault", {"uri"});
    auto vault_uri = vault.uri("uri");
    auto ticket = top.section("ticket", {"uri", "private_pairs", "remake_pins"});
    auto ticket_uri = ticket.uri("uri");
    const bool private_pairs = ticket.flag("private_pairs", true);
    auto remake_pins = ticket.path("remake_pins", "");
    if (!remake_pins.empty() && !ticket_uri.token_label())
        ticket.fail_key("remake_pins", "needs a token attribute in the URI: the label of what is made anew");

    auto paths = top.section("paths", {"module_config", "provider", "keyring", "stats", "state", "control",
                                       "server_config", "metrics"});
    Config config{
        .file = file,
        .location = location,
        .policy = policy,
        .stale_epochs = stale_epochs,
        .ring_version = ring_version,
        .readers = std::move(readers),
        .allow_weak_token = allow_weak_token,
        .vault = std::move(vault_uri),
        .ticket = std::move(ticket_uri),
        .private_pairs = private_pairs,
        .remake_pins = std::move(remake_pins),
        .module_config = paths.path("module_config", ""),
        .provider = paths.path("provider"),
        .keyring = paths.path("keyring"),
        .stats = paths.path("stats", ""),
        .state = paths.path("state"),
        .control = paths.path("control", ""),
        .server_config = paths.path("server_config", ""),
        .metrics = paths.path("metrics", ""),
    };
    // One process initialises one module once: both tokens are behind it.
    if (config.vault.module_path() != config.ticket.module_path())
        ticket.fail_key("uri", "must have the module-path of the vault's URI");
    refuse_shared_places(config);
    return config;
}

}  // namespace stek::daemon
