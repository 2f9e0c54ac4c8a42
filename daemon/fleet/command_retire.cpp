// `stekctl fleet retire`.
#include "daemon/control_client.hpp"
#include "daemon/exit_codes.hpp"
#include "daemon/fleet/ask_for_machines.hpp"
#include "daemon/fleet/command_fleet.hpp"
#include "daemon/fleet/list_changes.hpp"
#include "daemon/fleet/list_desk.hpp"

#include <ctime>
#include <iostream>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace stek::fleet {
namespace {

struct Options {
    std::string config = daemon::default_config, name, origin;
    bool now = false;
};

/// The list, of those that are signed here, that has the name.
Whose list_with(const ListDesk& desk, const std::string& name) {
    std::optional<Whose> found;
    for (const Whose whose : {Whose::fleet, Whose::location}) {
        if (!signs(desk.config(), whose) || desk.list(whose).find(name) == nullptr)
            continue;
        if (found)
            throw EnrolmentRefused("both a machine and an origin or vault are called " + name +
                                   ": retire it by a configuration that has [root] or [location] only");
        found = whose;
    }
    if (found)
        return *found;
    if (!signs(desk.config(), Whose::fleet) && !signs(desk.config(), Whose::location))
        throw EnrolmentRefused(desk.config().file +
                               " has neither [root], where origins and vaults are retired, nor [location], "
                               "where its machines are");
    throw EnrolmentRefused("nobody of the name " + name + " is in the list" +
                           (signs(desk.config(), Whose::fleet) && signs(desk.config(), Whose::location)
                                ? "s that are signed here"
                            : signs(desk.config(), Whose::fleet)
                                ? " of origins and vaults; machines are retired at a vault of their location"
                                : " of this location's machines; origins and vaults are retired where the "
                                  "root key is"));
}

/// Of an origin that runs here; nothing if it is not known.
std::optional<std::string> origins_socket(const Options& options) {
    const auto config = load_fleet_config(options.origin.empty() ? options.config : options.origin);
    if (config.origin && !config.control.empty())
        return config.control;
    if (!options.origin.empty())
        throw daemon::ConfigError(options.origin + ": has no [origin], or no paths.control to reach it by");
    return {};
}

/// True if it was done.
bool renew(const std::optional<std::string>& socket) {
    if (!socket) {
        std::cerr
            << "stekctl: no origin is here that could make a new revision: run stekctl rotate where one "
               "is, now that the list is signed\n";
        return false;
    }
    (void)daemon::ask_stekd(*socket, {{"do", "rotate"}, {"revoke_old", false}});
    std::cout << "the origin has made a new revision of each key\n";
    return true;
}

void tell(const std::string& name, std::optional<std::uint64_t> serial) {
    std::cout << name << (serial ? " is retired: list " + std::to_string(*serial) : " is retired already")
              << "\n";
}

void retire_by_stekd(const FleetConfig& config, const std::string& name) {
    const auto reply = ask_for_machines(config, {{"do", "retire"}, {"name", name}});
    tell(name,
         reply.contains("serial") ? std::optional(reply.at("serial").get<std::uint64_t>()) : std::nullopt);
}

void retire_here(FleetConfig config, const std::string& name) {
    ListDesk desk(std::move(config));
    const Whose whose = list_with(desk, name);
    const auto list = desk.change(
        whose, [&](const PartyList& known) { return with_retired(known, name, std::time(nullptr)); });
    tell(name, list ? std::optional(list->serial) : std::nullopt);
}

int retire(const Options& options) {
    const auto socket = options.now ? origins_socket(options) : std::nullopt;
    auto config = load_fleet_config(options.config);
    if (stekd_runs(config))
        retire_by_stekd(config, options.name);
    else
        retire_here(std::move(config), options.name);
    return !options.now || renew(socket) ? daemon::exit_ok : daemon::exit_findings;
}

}  // namespace

void add_retire(CLI::App& fleet, daemon::Chosen& chosen) {
    const auto options = std::make_shared<Options>();
    auto* command = fleet.add_subcommand("retire", "ends an enrolment: no later key is for that party");
    add_config_option(*command, options->config);
    command->add_option("name", options->name, "the party's name")
        ->required()
        ->check(CLI::Validator(
            [](const std::string& text) {
                return is_party_name(text) ? "" : "must be 1 to 64 of letters, digits, '_' and '-'";
            },
            ""));
    auto* now = command->add_flag("--now", options->now,
                                  "and has an origin make a new revision of the keys that it knows");
    command
        ->add_option("--origin", options->origin,
                     "the configuration of an origin on this host, if it is another one")
        ->needs(now);
    command->callback([&chosen, options] { chosen = [options] { return retire(*options); }; });
}

}  // namespace stek::fleet
