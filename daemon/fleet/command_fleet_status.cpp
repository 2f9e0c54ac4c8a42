// `stekctl fleet status`.
#include "daemon/exit_codes.hpp"
#include "daemon/fleet/command_fleet.hpp"
#include "daemon/fleet/durable_file.hpp"
#include "daemon/fleet/fleet_status.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/fleet/open_engine.hpp"

#include <ctime>
#include <iostream>
#include <memory>
#include <system_error>

#include <CLI/CLI.hpp>

namespace stek::fleet {
namespace {

struct Options {
    std::string config = daemon::default_config;
    bool json = false;
};

/// The list that this party knows; empty if there is none, or if it is not for who asks to read.
std::vector<std::uint8_t> known_list(const FleetConfig& config) {
    try {
        return read_up_to(config.state + "/" + KnownLists::fleet_file, largest_frame(Kind::list));
    } catch (const std::system_error&) {
        return {};
    }
}

int show(const Options& options) {
    const auto config = load_fleet_config(options.config);
    const auto engine = open_engine(config, OpenedBy::stekctl);
    const auto status = gather_fleet_status(config, *engine, known_list(config), std::time(nullptr));
    std::cout << (options.json ? fleet_status_json(status) : fleet_status_table(status)) << std::flush;
    return status.problems.empty() ? daemon::exit_ok : daemon::exit_findings;
}

}  // namespace

void add_fleet_status(CLI::App& fleet, daemon::Chosen& chosen) {
    const auto options = std::make_shared<Options>();
    auto* command = fleet.add_subcommand("status", "shows each location: its keys, vaults and machines");
    add_config_option(*command, options->config);
    command->add_flag("--json", options->json, "for programs");
    command->callback([&chosen, options] { chosen = [options] { return show(*options); }; });
}

}  // namespace stek::fleet
