// stekctl: sets up an instance of stekd and shows what it does.
#include "daemon/exit_codes.hpp"
#include "daemon/init.hpp"
#include "daemon/status.hpp"
#include "pkcs11/error.hpp"

#include <filesystem>
#include <iostream>

#include <CLI/CLI.hpp>
#include <openssl/crypto.h>

namespace {

using namespace stek::daemon;

CLI::App* add_init(CLI::App& app, InitOptions& options) {
    auto* init = app.add_subcommand("init", "makes tokens, directories and configuration in a directory");
    init->add_option("--dir", options.directory, "the directory")->required();
    init->add_option("--location", options.location, "the location's name")->required();
    init->add_option("--period", options.policy.period, "seconds per key")->capture_default_str();
    init->add_option("--session-timeout", options.policy.session_timeout,
                     "seconds that a key opens tickets after it has stopped sealing")
        ->capture_default_str();
    init->add_option("--stale-epochs", options.stale_epochs,
                     "epochs that the last key may seal beyond its own")
        ->capture_default_str();
    init->add_option("--module", options.module, "SoftHSM's PKCS#11 module")->capture_default_str();
    init->add_option("--provider", options.provider, "stek.so")->capture_default_str();
    init->add_option("--reader", options.readers, "a user that a TLS server runs as; may be repeated")
        ->allow_extra_args(false);
    return init;
}

int run(int argc, char** argv) {
    CLI::App app("Sets up stekd and shows what it does.", "stekctl");
    app.set_version_flag("--version", STEKD_VERSION);
    app.require_subcommand(1);
    InitOptions options;
    options.module = "/usr/lib/softhsm/libsofthsm2.so";
    options.provider = STEKD_PROVIDER;
    const auto* init = add_init(app, options);
    std::string file = "/etc/stekd/stekd.toml";
    bool json = false;
    auto* status = app.add_subcommand("status", "shows keys, tokens and counters");
    status->add_option("--config", file, "stekd's configuration")->capture_default_str();
    status->add_flag("--json", json, "for programs");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? exit_ok : exit_usage;
    }

    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
    if (!init->parsed())
        return print_status(load_config(file), json);
    options.directory = std::filesystem::absolute(options.directory).lexically_normal().string();
    if (options.directory.size() > 1 && options.directory.back() == '/')
        options.directory.pop_back();
    init_instance(options);
    std::cout << "start stekd:  stekd --config " << options.directory << "/stekd.toml\n"
              << "for servers:  OPENSSL_CONF=" << options.directory << "/openssl.cnf\n";
    return exit_ok;
}

}  // namespace

int main(int argc, char** argv) {
    int code = exit_software;
    try {
        return run(argc, argv);
    } catch (const WouldOverwrite& error) {
        std::cerr << "stekctl: " << error.what() << '\n';
        code = exit_exists;
    } catch (const ConfigError& error) {
        std::cerr << "stekctl: " << error.what() << '\n';
        code = exit_config;
    } catch (const stek::pkcs11::UriError& error) {
        std::cerr << "stekctl: " << error.what() << '\n';
        code = exit_config;
    } catch (const std::exception& error) {
        std::cerr << "stekctl: " << error.what() << '\n';
    }
    return code;
}
