// stekctl: sets up an instance of stekd and shows what it does.
#include "daemon/commands.hpp"
#include "daemon/config.hpp"
#include "daemon/control_client.hpp"
#include "daemon/exit_codes.hpp"
#include "daemon/init.hpp"
#include "daemon/process_guard.hpp"
#include "pkcs11/error.hpp"

#include <iostream>

#include <CLI/CLI.hpp>
#include <openssl/crypto.h>

namespace {

using namespace stek::daemon;

int run(int argc, char** argv) {
    CLI::App app("Sets up stekd and shows what it does.", "stekctl");
    app.set_version_flag("--version", STEKD_VERSION);
    app.require_subcommand(1);
    Chosen chosen;
    for (const auto add : {add_init, add_status, add_rotate, add_revoke, add_doctor})
        add(app, chosen);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? exit_ok : exit_usage;
    }
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
    const int code = chosen();
    std::cout.flush();
    if (!std::cout) {
        std::cerr << "stekctl: cannot write to standard output\n";
        return exit_output;
    }
    return code;
}

}  // namespace

int main(int argc, char** argv) {
    int code = exit_software;
    try {
        guard_process();
        static_cast<void>(lock_memory());
        return run(argc, argv);
    } catch (const WouldOverwrite& error) {
        std::cerr << "stekctl: " << error.what() << '\n';
        code = exit_exists;
    } catch (const ConfigError& error) {
        std::cerr << "stekctl: " << error.what() << '\n';
        code = exit_config;
    } catch (const ControlError& error) {
        std::cerr << "stekctl: " << error.what() << '\n';
        code = exit_temporary;
    } catch (const stek::pkcs11::UriError& error) {
        std::cerr << "stekctl: " << error.what() << '\n';
        code = exit_config;
    } catch (const std::exception& error) {
        std::cerr << "stekctl: " << error.what() << '\n';
    }
    return code;
}
