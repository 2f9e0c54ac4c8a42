// `stekctl fleet init`.
#include "daemon/exit_codes.hpp"
#include "daemon/fleet/command_fleet.hpp"
#include "daemon/fleet/fleet_init.hpp"
#include "daemon/state.hpp"

#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

namespace stek::fleet {
namespace {

int init(const std::string& file) {
    const auto config = load_fleet_config(file);
    const auto made = init_fleet(config);
    std::cout << "fleet " << daemon::hex(made.id) << (made.is_new ? "" : " (it was there already)") << "\n"
              << "  each party gets a copy of " << config.root << ", for engine.root in its stekd.toml\n"
              << "  then, where it is:  stekctl fleet enroll origin|location|machine\n";
    return daemon::exit_ok;
}

}  // namespace

void add_fleet_init(CLI::App& fleet, daemon::Chosen& chosen) {
    const auto file = std::make_shared<std::string>(daemon::default_config);
    auto* command = fleet.add_subcommand("init", "makes the root key, in the token of [root]");
    add_config_option(*command, *file);
    command->callback([&chosen, file] { chosen = [file] { return init(*file); }; });
}

}  // namespace stek::fleet
