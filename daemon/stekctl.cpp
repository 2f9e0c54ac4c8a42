// stekctl: sets up an instance of stekd and shows what it does.
#include "daemon/another_stekd.hpp"
#include "daemon/commands.hpp"
#include "daemon/config.hpp"
#include "daemon/control_client.hpp"
#include "daemon/exit_codes.hpp"
#include "daemon/fleet/ceremony.hpp"
#include "daemon/fleet/command_fleet.hpp"
#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/frame.hpp"
#include "daemon/fleet/list_changes.hpp"
#include "daemon/init.hpp"
#include "daemon/process_guard.hpp"
#include "daemon/tokens.hpp"
#include "pkcs11/error.hpp"

#include <iostream>

#include <CLI/CLI.hpp>

namespace {

using namespace stek::daemon;

int run(int argc, char** argv) {
    CLI::App app("Sets up stekd and shows what it does.", "stekctl");
    app.set_version_flag("--version", STEKD_VERSION);
    app.require_subcommand(1);
    Chosen chosen;
    for (const auto add : {add_init, add_status, add_rotate, add_revoke, add_doctor, stek::fleet::add_fleet})
        add(app, chosen);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? exit_ok : exit_usage;
    }
    prepare_libcrypto();
    const int code = chosen();
    std::cout.flush();
    if (!std::cout) {
        std::cerr << "stekctl: cannot write to standard output\n";
        return exit_output;
    }
    return code;
}

int fail(const std::exception& error, int code) {
    std::cerr << "stekctl: " << error.what() << '\n';
    return code;
}

/// Says what the exception at hand is, and returns its exit code.
int report_failure() {
    try {
        throw;
    } catch (const WouldOverwrite& error) {
        return fail(error, exit_exists);
    } catch (const ConfigError& error) {
        return fail(error, exit_config);
    } catch (const stek::pkcs11::UriError& error) {
        return fail(error, exit_config);
    } catch (const ControlError& error) {
        return fail(error, exit_temporary);
    } catch (const stek::fleet::EngineError& error) {
        return fail(error, exit_temporary);
    } catch (const AnotherStekd& error) {
        return fail(error, exit_temporary);
    } catch (const PinRefused& error) {
        return fail(error, exit_refused);
    } catch (const stek::fleet::FrameError& error) {
        return fail(error, exit_data);
    } catch (const stek::fleet::CeremonyRefused& error) {
        return fail(error, exit_declined);
    } catch (const stek::fleet::EnrolmentRefused& error) {
        return fail(error, exit_declined);
    } catch (const std::exception& error) {
        return fail(error, exit_software);
    }
}

}  // namespace

int main(int argc, char** argv) {
    try {
        guard_process();
        static_cast<void>(lock_memory());
        return run(argc, argv);
    } catch (...) {
        return report_failure();
    }
}
