// `stekctl fleet certify` and `stekctl fleet withdraw`: who is let into an engine that is NATS.
#include "daemon/exit_codes.hpp"
#include "daemon/fleet/command_fleet.hpp"
#include "daemon/fleet/confirm.hpp"
#include "daemon/fleet/engine_authority.hpp"
#include "daemon/fleet/list_changes.hpp"
#include "daemon/init_parts.hpp"

#include <iostream>
#include <map>
#include <memory>

#include <CLI/CLI.hpp>

namespace stek::fleet {
namespace {

constexpr unsigned usual_days = 397, most_days = 3650;

struct Options {
    std::string config = daemon::default_config, request, fingerprint, output, name, location;
    NatsRole role = NatsRole::machine;
    unsigned days = usual_days;
};

std::string in_words(const NatsParty& party) {
    return std::string(name_of(party.role)) + " " + party.name +
           (party.location.empty() ? "" : " of location " + party.location);
}

void say_what_is_next(const EngineAuthority& authority) {
    std::cerr << "  then, at each server: grants.conf of " << authority.servers_directory()
              << "/<its name>, and SIGHUP\n";
}

void ask(const NatsParty& party) {
    ask_at_terminal(
        std::cerr, "Is that the fingerprint that was shown where " + party.name + " is? Let it in (yes/no)? ",
        "not certified");
}

int certify(const Options& options) {
    if (!options.output.empty())
        daemon::refuse_existing(options.output);
    const auto request = read_certificate_request(options.request);
    const auto party = party_of(request.get());
    if (party.role == NatsRole::root)
        throw EnrolmentRefused("root's certificate is made by init");
    const auto shown = fingerprint(request.get());
    std::cerr << "request:      " << in_words(party) << "\nfingerprint:  " << shown << "\n";
    check_fingerprint(options.fingerprint, shown);
    const auto config = load_fleet_config(options.config);
    if (options.fingerprint.empty())
        ask(party);
    EngineAuthority authority(config, EngineAuthority::Missing::refuse);
    const auto certificate = authority.certify(party, X509_REQ_get0_pubkey(request.get()), options.days);
    if (options.output.empty())
        std::cout << to_pem(certificate.get());
    else
        daemon::write_text(options.output, to_pem(certificate.get()), 0644);
    say_what_is_next(authority);
    return daemon::exit_ok;
}

int withdraw(const Options& options) {
    const auto config = load_fleet_config(options.config);
    const NatsParty party{options.role, options.name, options.location};
    EngineAuthority authority(config, EngineAuthority::Missing::refuse);
    const bool was_in = authority.withdraw(party);
    std::cerr << in_words(party) << (was_in ? " is let in no more\n" : " is not let in\n");
    if (was_in)
        say_what_is_next(authority);
    return daemon::exit_ok;
}

}  // namespace

void add_certify(CLI::App& fleet, daemon::Chosen& chosen) {
    const auto options = std::make_shared<Options>();
    auto* command = fleet.add_subcommand("certify", "lets who made a request into NATS, by a certificate");
    add_config_option(*command, options->config);
    command->add_option("request", options->request, "the file that enroll made, <role>.csr")
        ->required()
        ->check(CLI::ExistingFile);
    command->add_option("--fingerprint", options->fingerprint,
                        "as it was shown by enroll; without it, the terminal is asked");
    command->add_option("--days", options->days, "for which the certificate is good")
        ->check(CLI::Range(1U, most_days))
        ->capture_default_str();
    command->add_option("--output", options->output,
                        "where the certificate goes; must be new. Without it, to standard output");
    command->callback([&chosen, options] { chosen = [options] { return certify(*options); }; });
}

void add_withdraw(CLI::App& fleet, daemon::Chosen& chosen) {
    const auto options = std::make_shared<Options>();
    auto* command = fleet.add_subcommand("withdraw", "ends what certify did");
    add_config_option(*command, options->config);
    const std::map<std::string, NatsRole> roles{
        {"origin", NatsRole::origin}, {"vault", NatsRole::vault}, {"machine", NatsRole::machine}};
    command->add_option("role", options->role, "origin, vault or machine")
        ->required()
        ->transform(CLI::CheckedTransformer(roles));
    command->add_option("name", options->name, "the party's name")->required();
    command->add_option("--location", options->location, "of a vault or a machine");
    command->callback([&chosen, options] { chosen = [options] { return withdraw(*options); }; });
}

}  // namespace stek::fleet
