// `stekctl fleet enroll`.
#include "daemon/exit_codes.hpp"
#include "daemon/fleet/armour.hpp"
#include "daemon/fleet/command_fleet.hpp"
#include "daemon/fleet/enrol.hpp"
#include "daemon/fleet/list_changes.hpp"
#include "daemon/init_parts.hpp"

#include <iostream>
#include <map>
#include <memory>

#include <CLI/CLI.hpp>

namespace stek::fleet {
namespace {

struct Options {
    std::string config = daemon::default_config, output;
};

int enroll(const Options& options, Role role) {
    if (!options.output.empty())
        daemon::refuse_existing(options.output);
    const auto config = load_fleet_config(options.config);
    const auto made = make_request(config, role);
    const auto text = armour_request(made.frame);
    if (options.output.empty())
        std::cout << text;
    else
        daemon::write_text(options.output, text, 0644);
    // Not in the request, where whoever exchanges one could exchange the other.
    std::cerr << in_words(role, made.request.name, made.request.location) << " asks to be enrolled"
              << (options.output.empty() ? "" : ":  " + options.output) << "\n"
              << "fingerprint:  " << fingerprint(made.request) << "\n"
              << "  " << (role == Role::machine ? "at a vault of its location" : "where the root key is")
              << ":  stekctl fleet approve REQUEST\n"
              << "  Tell who approves the fingerprint by another way than the request takes.\n";
    if (config.nats) {
        const auto nats = make_nats_request(config, role);
        std::cerr << "and to be let into NATS:  " << nats.path << "\n"
                  << "fingerprint of that:  " << nats.fingerprint << "\n"
                  << "  where the root key is:  stekctl fleet certify REQUEST; its certificate and "
                     "authority.crt go to "
                  << config.nats->tls << "\n";
    }
    return daemon::exit_ok;
}

}  // namespace

void add_enroll(CLI::App& fleet, daemon::Chosen& chosen) {
    const auto options = std::make_shared<Options>();
    auto* command = fleet.add_subcommand("enroll", "makes a party's keys in its token, and asks for it");
    command->require_subcommand(1);
    const auto add = [&](const char* name, const char* what, Role role) {
        auto* party = command->add_subcommand(name, what);
        add_config_option(*party, options->config);
        party->add_option("--output", options->output,
                          "where the request goes; must be new. Without it, to standard output");
        party->callback(
            [&chosen, options, role] { chosen = [options, role] { return enroll(*options, role); }; });
    };
    add("origin", "the party of [origin]", Role::origin);
    add("location", "the vault of [location]", Role::vault);
    add("machine", "the party of [machine]", Role::machine);
}

}  // namespace stek::fleet
