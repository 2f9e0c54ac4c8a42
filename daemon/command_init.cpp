#include "daemon/commands.hpp"
#include "daemon/exit_codes.hpp"
#include "daemon/init.hpp"

#include <filesystem>
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

namespace stek::daemon {
namespace {

void make_absolute(std::string& path) {
    if (path.empty())
        return;
    path = std::filesystem::absolute(path).lexically_normal().string();
    if (path.size() > 1 && path.back() == '/')
        path.pop_back();
}

int make_instance(InitOptions options) {
    make_absolute(options.directory);
    make_absolute(options.token_dir);
    const auto configuration = layout_of(options).configuration;
    if (options.directory.empty()) {
        init_system(options);
        std::cout << "start stekd:  systemctl enable --now stekd\n";
    } else {
        init_instance(options);
        std::cout << "start stekd:  stekd --config " << configuration << "/stekd.toml\n";
    }
    std::cout << "for servers:  OPENSSL_CONF=" << configuration << "/openssl.cnf\n";
    return exit_ok;
}

}  // namespace

void add_init(CLI::App& app, Chosen& chosen) {
    auto options = std::make_shared<InitOptions>();
    options->module = "/usr/lib/softhsm/libsofthsm2.so";
    options->provider = STEKD_PROVIDER;
    auto* init = app.add_subcommand("init", "makes tokens, PINs and configuration");
    init->add_option("--dir", options->directory,
                     "all in this directory; without it, in /etc/stekd and /var/lib/stekd for stekd.service")
        ->check(CLI::Validator([](std::string& text) { return text.empty() ? "is empty" : ""; }, ""));
    init->add_option("--location", options->location, "the location's name")->required();
    init->add_option("--period", options->policy.period, "seconds per key")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    init->add_option("--session-timeout", options->policy.session_timeout,
                     "seconds that a key opens tickets after it has stopped sealing")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    init->add_option("--stale-epochs", options->stale_epochs,
                     "epochs that the last key may seal beyond its own")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    init->add_option("--module", options->module, "SoftHSM's PKCS#11 module")->capture_default_str();
    init->add_option("--token-dir", options->token_dir,
                     "where the tokens go: with --dir both, without it the vault token; must be new");
    init->add_option("--provider", options->provider, "stek.so")->capture_default_str();
    init->add_option("--reader", options->readers, "a user that a TLS server runs as; may be repeated")
        ->allow_extra_args(false);
    init->callback([&chosen, options] { chosen = [options] { return make_instance(*options); }; });
}

}  // namespace stek::daemon
