// How a fleet is doing, as far as its engine tells: for whoever has the root's public key. Nothing is
// believed that is not signed, and nothing is written.
#pragma once

#include "daemon/fleet/config.hpp"
#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/party.hpp"
#include "daemon/plan.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace stek::fleet {

struct OriginStatus {
    std::string name;
    std::optional<std::uint64_t> newest_epoch;  ///< of the bundles in the engine that it has signed
};

struct VaultStatus {
    std::string name;
    std::size_t pre_keys_left = 0;  ///< for the current epoch and later
};

struct MachineStatus {
    std::string name;
    std::optional<std::uint64_t> last_epoch;  ///< of the records that are there for it
    bool has_pair = false;                    ///< for the current epoch or a later one
};

struct LocationStatus {
    std::string name;
    std::optional<std::uint64_t> last_epoch;  ///< the newest that a machine has a record of
    std::uint64_t lag = 0;                    ///< epochs that it is behind the current one
    std::vector<VaultStatus> vaults;          ///< active ones, as all others here
    std::vector<MachineStatus> machines;

    [[nodiscard]] std::size_t pre_keys_left() const noexcept;  ///< of the vault that has the fewest
};

struct FleetStatus {
    std::int64_t now = 0;
    std::uint64_t epoch = 0;  ///< the current one, by this clock
    FleetId id{};
    std::string engine;                          ///< its name
    std::uint64_t serial = 0;                    ///< of the fleet's list; 0: there is none
    std::int64_t signed_at = 0;                  ///< Unix seconds
    std::optional<daemon::KeyId> newest_bundle;  ///< that is good
    std::vector<OriginStatus> origins;
    std::vector<LocationStatus> locations;
    std::vector<std::string> problems;  ///< in words; none: all is well
};

/// `now`: Unix seconds. `known`: the newest list's frame at hand, for an engine that holds an older one back
/// or nothing; may be empty. An engine that cannot be reached is a problem, not an exception. Throws
/// ConfigError (engine.root).
FleetStatus gather_fleet_status(const FleetConfig& config, Engine& engine, Bytes known, std::int64_t now);

std::string fleet_status_table(const FleetStatus& status);
std::string fleet_status_json(const FleetStatus& status);

}  // namespace stek::fleet
