#include "daemon/commands.hpp"
#include "daemon/exit_codes.hpp"
#include "daemon/init.hpp"

#include <filesystem>
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

namespace stek::daemon {
namespace {

int make_instance(InitOptions options) {
    options.directory = std::filesystem::absolute(options.directory).lexically_normal().string();
    if (options.directory.size() > 1 && options.directory.back() == '/')
        options.directory.pop_back();
    init_instance(options);
    std::cout << "start stekd:  stekd --config " << options.directory << "/stekd.toml\n"
              << "for servers:  OPENSSL_CONF=" << options.directory << "/openssl.cnf\n";
    return exit_ok;
}

}  // namespace

void add_init(CLI::App& app, Chosen& chosen) {
    auto options = std::make_shared<InitOptions>();
    options->module = "/usr/lib/softhsm/libsofthsm2.so";
    options->provider = STEKD_PROVIDER;
    auto* init = app.add_subcommand("init", "makes tokens, directories and configuration in a directory");
    init->add_option("--dir", options->directory, "the directory")->required();
    init->add_option("--location", options->location, "the location's name")->required();
    init->add_option("--period", options->policy.period, "seconds per key")->capture_default_str();
    init->add_option("--session-timeout", options->policy.session_timeout,
                     "seconds that a key opens tickets after it has stopped sealing")
        ->capture_default_str();
    init->add_option("--stale-epochs", options->stale_epochs,
                     "epochs that the last key may seal beyond its own")
        ->capture_default_str();
    init->add_option("--module", options->module, "SoftHSM's PKCS#11 module")->capture_default_str();
    init->add_option("--provider", options->provider, "stek.so")->capture_default_str();
    init->add_option("--reader", options->readers, "a user that a TLS server runs as; may be repeated")
        ->allow_extra_args(false);
    init->callback([&chosen, options] { chosen = [options] { return make_instance(*options); }; });
}

}  // namespace stek::daemon
