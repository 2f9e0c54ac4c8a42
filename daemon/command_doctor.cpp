#include "daemon/commands.hpp"
#include "daemon/fleet/fleet_doctor.hpp"

#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

namespace stek::daemon {
namespace {

struct Options {
    std::string file = default_config, server_name;
    std::vector<std::string> endpoints;
    bool json = false;
};

int examine(const Options& options) {
    DoctorOptions asked{.config = options.file, .endpoints = {}, .server_name = options.server_name};
    for (const auto& text : options.endpoints)
        asked.endpoints.push_back(*parse_endpoint(text));
    Diagnosis diagnosis;
    diagnose(diagnosis, asked, fleet::read_any_site);
    std::cout << (options.json ? diagnosis_json(diagnosis) : diagnosis_text(diagnosis)) << std::flush;
    return exit_code_for(diagnosis.worst());
}

std::string check_operand(const std::string& text) {
    return parse_endpoint(text) ? "" : text + " is not HOST:PORT (www.example.org:443, [::1]:8443)";
}

}  // namespace

void add_doctor(CLI::App& app, Chosen& chosen) {
    auto options = std::make_shared<Options>();
    auto* doctor = app.add_subcommand("doctor", "finds what is wrong, and says what to do about it");
    doctor->add_option("--config", options->file, "stekd's configuration")->capture_default_str();
    doctor->add_option("--servername", options->server_name, "asked of each HOST:PORT, instead of HOST");
    doctor->add_flag("--json", options->json, "for programs");
    doctor
        ->add_option("endpoints", options->endpoints,
                     "HOST:PORT of TLS servers whose tickets are to be tried")
        ->check(check_operand);
    doctor->callback([&chosen, options] { chosen = [options] { return examine(*options); }; });
}

}  // namespace stek::daemon
