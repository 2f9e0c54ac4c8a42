// stekd: makes, rotates and destroys a location's session ticket keys, or is a party of a fleet that does.
#include "daemon/check.hpp"
#include "daemon/exit_codes.hpp"
#include "daemon/fleet/fleet_check.hpp"
#include "daemon/fleet/fleet_work.hpp"
#include "daemon/log.hpp"
#include "daemon/premises.hpp"
#include "daemon/process_guard.hpp"
#include "daemon/service.hpp"
#include "daemon/standalone.hpp"

#include <string>

#include <CLI/CLI.hpp>

namespace {

using namespace stek::daemon;

int serve(const MakeWork& work) {
    try {
        if (!lock_memory())
            log(LOG_NOTICE, "memory may be swapped out: RLIMIT_MEMLOCK is not unlimited");
        Service service(work);
        return service.run();
    } catch (...) {
        const auto failure = current_failure();
        log(LOG_ERR, failure.what);
        return failure.exit_code;
    }
}

enum class How { check, once, serve };

int location_of_its_own(const std::string& file, How how) {
    auto config = load_config(file);
    if (how == How::check)
        return run_checks(config);
    require_premises(config);
    const auto work = standalone(std::move(config));
    return how == How::once ? run_once(work) : serve(work);
}

int party(const std::string& file, How how) {
    auto config = stek::fleet::load_fleet_config(file);
    require_role(config);
    if (how == How::check)
        return stek::fleet::run_checks(config);
    require_premises(stek::fleet::common_config(config));
    const auto work = stek::fleet::fleet_work(std::move(config));
    return how == How::once ? run_once(work) : serve(work);
}

int run(int argc, char** argv) {
    CLI::App app("Rotates the TLS session ticket keys of one location, inside its PKCS#11 tokens.", "stekd");
    app.set_version_flag("--version", STEKD_VERSION);
    std::string file = "/etc/stekd/stekd.toml";
    bool once = false, check = false;
    app.add_option("--config", file, "the configuration")->capture_default_str();
    auto* once_flag = app.add_flag("--once", once, "do what is due now, and leave");
    app.add_flag("--check", check, "look at configuration, provider, tokens and readers, and leave")
        ->excludes(once_flag);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? exit_ok : exit_usage;
    }

    prepare_libcrypto();
    const How how = check ? How::check : once ? How::once : How::serve;
    try {
        return stek::fleet::is_fleet_config(file) ? party(file, how) : location_of_its_own(file, how);
    } catch (const ConfigError& error) {
        log(LOG_ERR, error.what());
        return exit_config;
    }
}

}  // namespace

int main(int argc, char** argv) {
    try {
        guard_process();
        return run(argc, argv);
    } catch (const std::exception& error) {
        log(LOG_ERR, error.what());
        return exit_software;
    }
}
