// `stekctl fleet approve`.
#include "daemon/exit_codes.hpp"
#include "daemon/fleet/armour.hpp"
#include "daemon/fleet/ask_for_machines.hpp"
#include "daemon/fleet/command_fleet.hpp"
#include "daemon/fleet/confirm.hpp"
#include "daemon/fleet/list_changes.hpp"
#include "daemon/fleet/list_desk.hpp"
#include "daemon/fleet/root_key.hpp"
#include "daemon/state.hpp"

#include <ctime>
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace stek::fleet {
namespace {

struct Options {
    std::string config = daemon::default_config, request, fingerprint;
};

Whose list_of(const EnrolmentRequest& request) {
    return request.role == Role::machine ? Whose::location : Whose::fleet;
}

void refuse_elsewhere(const FleetConfig& config, const EnrolmentRequest& request) {
    if (request.role != Role::machine) {
        if (!signs(config, Whose::fleet))
            throw EnrolmentRefused(config.file +
                                   " has no [root]: origins and vaults are approved where the root key is");
        return;
    }
    if (!signs(config, Whose::location) || config.location->name != request.location)
        throw EnrolmentRefused(in_words(request.role, request.name, request.location) +
                               " is approved at a vault of its location, and this is none (" + config.file +
                               ")");
}

void show(std::ostream& out, const EnrolmentRequest& request, const FleetId& fleet) {
    out << "request:      " << in_words(request.role, request.name, request.location) << "\n"
        << "fleet:        " << daemon::hex(fleet) << "\n"
        << "fingerprint:  " << fingerprint(request) << "\n";
}

void confirm(const Options& options, const EnrolmentRequest& request) {
    if (options.fingerprint.empty())
        ask_at_terminal(
            std::cout,
            "Is that the fingerprint that was shown where " + request.name + " is? Approve (yes/no)? ",
            "not approved");
}

void tell(const EnrolmentRequest& request, PartyNumber number, std::uint64_t serial) {
    std::cout << request.name << " is enrolled: number " << number << ", list " << serial << "\n";
}

int already(const EnrolmentRequest& request) {
    std::cout << request.name << " is enrolled already\n";
    return daemon::exit_ok;
}

/// The stekd that runs on the vault's token has the key that signs.
int approve_by_stekd(const Options& options, const FleetConfig& config, const EnrolmentRequest& request,
                     Bytes frame) {
    confirm(options, request);
    const auto reply = ask_for_machines(config, {{"do", "enroll"}, {"request", armour_request(frame)}});
    if (!reply.contains("serial"))
        return already(request);
    tell(request, reply.at("number").get<PartyNumber>(), reply.at("serial").get<std::uint64_t>());
    return daemon::exit_ok;
}

int approve(const Options& options) {
    const auto frame = read_armoured_request(options.request);
    auto config = load_fleet_config(options.config);
    const auto fleet = fleet_id_of(read_root_key(config.root));
    const auto request = open_request(frame, fleet);
    show(std::cout, request, fleet);
    check_fingerprint(options.fingerprint, fingerprint(request));
    refuse_elsewhere(config, request);
    const Whose whose = list_of(request);
    if (whose == Whose::location && stekd_runs(config))
        return approve_by_stekd(options, config, request, frame);
    ListDesk desk(std::move(config));
    const auto enrol = [&](const PartyList& list) { return with_party(list, request, std::time(nullptr)); };
    if (enrol(desk.list(whose)))
        confirm(options, request);
    const auto list = desk.change(whose, enrol);
    if (!list)
        return already(request);
    tell(request, list->parties.back().number, list->serial);
    return daemon::exit_ok;
}

}  // namespace

void add_approve(CLI::App& fleet, daemon::Chosen& chosen) {
    const auto options = std::make_shared<Options>();
    auto* command = fleet.add_subcommand("approve", "shows what a request asks for, and enrols who made it");
    add_config_option(*command, options->config);
    command->add_option("request", options->request, "the file that enroll made")
        ->required()
        ->check(CLI::ExistingFile);
    command->add_option("--fingerprint", options->fingerprint,
                        "as it was shown by enroll; without it, the terminal is asked");
    command->callback([&chosen, options] { chosen = [options] { return approve(*options); }; });
}

}  // namespace stek::fleet
