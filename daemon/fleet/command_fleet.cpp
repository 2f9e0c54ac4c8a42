#include "daemon/fleet/command_fleet.hpp"

#include "daemon/fleet/command_ceremony.hpp"

#include <CLI/CLI.hpp>

namespace stek::fleet {

void add_config_option(CLI::App& command, std::string& file) {
    command.add_option("--config", file, "stekd's configuration")->capture_default_str();
}

void add_fleet(CLI::App& app, daemon::Chosen& chosen) {
    auto* fleet = app.add_subcommand("fleet", "who belongs to a fleet, and how it does");
    fleet->require_subcommand(1);
    for (const auto add : {add_fleet_init, add_enroll, add_approve, add_retire, add_certify, add_withdraw,
                           add_ceremony, add_fleet_status})
        add(*fleet, chosen);
}

}  // namespace stek::fleet
