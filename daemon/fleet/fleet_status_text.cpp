// The fleet's status for people, and for programs.
#include "daemon/columns.hpp"
#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/fleet_status.hpp"
#include "daemon/state.hpp"

#include <ctime>
#include <sstream>

#include <nlohmann/json.hpp>

namespace stek::fleet {
namespace {

using nlohmann::json;

std::string time_text(std::int64_t at) {
    const std::time_t seconds = at;
    std::tm parts{};
    char text[64];
    if (gmtime_r(&seconds, &parts) == nullptr || std::strftime(text, sizeof text, "%F %T UTC", &parts) == 0)
        return "?";
    return text;
}

std::string epoch_text(const std::optional<std::uint64_t>& epoch) {
    return epoch ? std::to_string(*epoch) : "-";
}

std::string names_of(const std::vector<OriginStatus>& origins) {
    std::string text;
    for (const auto& origin : origins)
        text += (text.empty() ? "" : ", ") + origin.name +
                (origin.newest_epoch ? " (bundles up to " + std::to_string(*origin.newest_epoch) + ")" : "");
    return text.empty() ? "none" : text;
}

json or_null(const std::optional<std::uint64_t>& epoch) {
    return epoch ? json(*epoch) : json(nullptr);
}

json location_json(const LocationStatus& location) {
    json vaults = json::array(), machines = json::array();
    for (const auto& vault : location.vaults)
        vaults.push_back({{"name", vault.name},
                          {"pre_keys_left", vault.pre_keys_left},
                          {"silent", vault.pre_keys_left == 0}});
    for (const auto& machine : location.machines)
        machines.push_back({{"name", machine.name},
                            {"last_epoch", or_null(machine.last_epoch)},
                            {"silent", !machine.has_pair}});
    return {{"name", location.name},       {"last_epoch", or_null(location.last_epoch)},
            {"lag", location.lag},         {"pre_keys_left", location.pre_keys_left()},
            {"vaults", std::move(vaults)}, {"machines", std::move(machines)}};
}

}  // namespace

std::string fleet_status_table(const FleetStatus& status) {
    std::ostringstream out;
    daemon::write_columns(
        out, {{"fleet", daemon::hex(status.id)},
              {"engine", status.engine},
              {"list", status.serial == 0
                           ? "none"
                           : std::to_string(status.serial) + ", signed " + time_text(status.signed_at)},
              {"epoch", std::to_string(status.epoch) +
                            (status.newest_bundle ? "; bundles up to " + bundle_key(*status.newest_bundle)
                                                  : "; no bundles")},
              {"origins", names_of(status.origins)}});
    if (!status.locations.empty()) {
        std::vector<daemon::Row> rows{
            {"LOCATION", "LAST EPOCH", "LAG", "VAULTS", "MACHINES", "PRE-KEYS LEFT"}};
        for (const auto& location : status.locations)
            rows.push_back({location.name, epoch_text(location.last_epoch), std::to_string(location.lag),
                            std::to_string(location.vaults.size()), std::to_string(location.machines.size()),
                            std::to_string(location.pre_keys_left())});
        out << '\n';
        daemon::write_columns(out, rows);
    }
    if (!status.problems.empty())
        out << '\n';
    for (const auto& problem : status.problems)
        out << "PROBLEM: " << problem << '\n';
    return out.str();
}

std::string fleet_status_json(const FleetStatus& status) {
    json origins = json::array(), locations = json::array();
    for (const auto& origin : status.origins)
        origins.push_back({{"name", origin.name}, {"newest_epoch", or_null(origin.newest_epoch)}});
    for (const auto& location : status.locations)
        locations.push_back(location_json(location));
    const json all{
        {"now", status.now},
        {"epoch", status.epoch},
        {"fleet", daemon::hex(status.id)},
        {"engine", status.engine},
        {"list_serial", status.serial},
        {"list_signed_at", status.signed_at},
        {"newest_bundle", status.newest_bundle ? json(bundle_key(*status.newest_bundle)) : json(nullptr)},
        {"origins", std::move(origins)},
        {"locations", std::move(locations)},
        {"problems", status.problems}};
    return all.dump(2) + "\n";
}

}  // namespace stek::fleet
