// stekd.toml of a party of a fleet: which roles this stekd has, in place of [vault] and [ticket]; or of who
// has the root key.
#pragma once

#include "daemon/config.hpp"
#include "pkcs11/uri.hpp"

#include <optional>
#include <string>
#include <vector>

namespace stek::fleet {

struct FleetConfig {
    struct Origin {
        std::string name;
        pkcs11::TokenUri token;  ///< holds its signing key, and makes the hourly keys
    };
    struct Location {
        std::string name;
        std::string vault;       ///< the name that this vault is enrolled by
        pkcs11::TokenUri token;  ///< the vault token
    };
    struct Machine {
        std::string name, location;
        pkcs11::TokenUri token;   ///< its own keys, where only stekd has the PIN
        pkcs11::TokenUri ticket;  ///< the ticket token
        bool private_pairs = true;
        std::string remake_pins;  ///< as Config::remake_pins
        std::vector<std::string> readers;
        std::string keyring, stats;
    };

    std::string file;
    daemon::Policy policy;
    unsigned stale_epochs = 2;
    unsigned ring_version = 1;
    bool allow_weak_token = false;

    struct Nats {
        std::vector<std::string> servers;  ///< "HOST:PORT"
        std::string tls;                   ///< directory of certificates and keys
    };
    std::string engine_directory;  ///< empty if it is NATS
    std::optional<Nats> nats;
    std::string root;  ///< PEM file: the root's public key, handed over at enrolment
    std::optional<pkcs11::TokenUri> root_token;  ///< where the private half is, for stekctl only

    std::optional<Origin> origin;
    std::optional<Location> location;
    std::optional<Machine> machine;
    [[nodiscard]] bool has_role() const noexcept { return origin || location || machine; }
    /// Of [location], or the one that [machine] is of; empty for an origin.
    [[nodiscard]] std::string location_name() const;

    std::string module_config, provider, state, control, server_config, metrics;

    /// One for all tokens, for one process initialises one module once.
    [[nodiscard]] const std::string& module_path() const;
};

/// Whether the file is a fleet party's: it has an [engine]. Throws ConfigError if it is not TOML.
bool is_fleet_config(const std::string& file);

/// Throws ConfigError as load_config() does. There is a role, or a root_token, or both.
FleetConfig load_fleet_config(const std::string& file);

/// For stekd. Throws ConfigError if there is no role.
void require_role(const FleetConfig& config);

/// For what takes a vault. Throws ConfigError if there is none here.
const FleetConfig::Location& require_location(const FleetConfig& config);

/// The settings that a stekd of any kind has; of a machine, its key ring and ticket token too.
daemon::Config common_config(const FleetConfig& config);

}  // namespace stek::fleet
