#include "daemon/check.hpp"

#include "daemon/check_report.hpp"
#include "daemon/check_server.hpp"
#include "daemon/looks.hpp"
#include "daemon/premises.hpp"
#include "daemon/state.hpp"
#include "daemon/tokens.hpp"

#include <filesystem>

#include <sys/stat.h>

namespace stek::daemon {
namespace {

[[noreturn]] void wrong(const std::string& what) {
    throw std::runtime_error(what);
}

// Without logging in or writing, for a stekd that runs would be in the way of.
void check_from_outside(CheckReport& report, const Config& config) {
    std::shared_ptr<pkcs11::Module> module;
    if (!report.look("PKCS#11 module", [&] {
            module = pkcs11::Module::initialize(pkcs11::Library::map(*config.vault.module_path()),
                                                config.module_config);
            return *config.vault.module_path();
        }))
        return;
    report.look("vault token", [&] { return look_at_token(module, config.vault, vault_mechanisms()); });
    report.look("ticket token",
                [&] { return look_at_token(module, config.ticket, ticket_mechanisms(true)); });
    report.look("provider", [&] { return Deriver(config), config.provider; });
    module->finalize();
}

void check_from_inside(CheckReport& report, const Config& config) {
    TokenClaims claims;
    std::unique_ptr<Tokens> tokens;
    report.look("tokens and provider", [&] {
        tokens = std::make_unique<Tokens>(config, claims);
        return "vault and ticket token (serial " + tokens->ticket_serial() + ") open, " + config.provider +
               " loaded";
    });
    if (!tokens)
        return;
    if (tokens->one_token_for_both())
        report.note("tokens",
                    "one token for both: a server that may log in to it can derive with the chain key");
    report.look("enforcement", [&] {
        std::string weak;
        for (const auto& weakness : weaknesses_of(tokens->ticket(), config.private_pairs))
            weak += (weak.empty() ? "" : ", ") + weakness;
        if (!weak.empty() && !config.allow_weak_token)
            wrong("the ticket token does not refuse: " + weak);
        return weak.empty() ? std::string("every attempt to get more out of a key was refused")
                            : "WEAK, as allowed by allow_weak_token: the token does not refuse " + weak;
    });
}

// Held to the end: a stekd that starts meanwhile would find objects of the probe, and two writers.
void check_tokens(CheckReport& report, const Config& config) {
    if (!std::filesystem::exists(config.state)) {
        report.note("paths.state", "there is no " + config.state + " yet to lock: no login, no probe");
        return check_from_outside(report, config);
    }
    try {
        const StateDirectory held(config.state);
        check_from_inside(report, config);
    } catch (const AnotherStekd& other) {
        report.note("stekd", std::string(other.what()) + ": no login, no probe while it does");
        check_from_outside(report, config);
    } catch (const std::exception& error) {
        report.look("paths.state", [&]() -> std::string { wrong(error.what()); });
    }
}

void check_directory(CheckReport& report, const std::string& key, const std::filesystem::path& directory) {
    report.look("paths." + key, [&] { return look_at_directory(directory); });
}

void check_keyring(CheckReport& report, const Config& config) {
    const auto directory = std::filesystem::path(config.keyring).parent_path();
    check_directory(report, "keyring", directory);
    std::error_code error;
    const auto there = std::filesystem::status(config.keyring, error);
    if (std::filesystem::exists(there) && !std::filesystem::is_regular_file(there))
        report.look("paths.keyring", [&]() -> std::string { wrong(config.keyring + " is no file"); });
    if (!is_on_tmpfs(directory))
        report.note("paths.keyring", directory.string() + " is not a tmpfs: the ring would survive the boot");
}

// Readers get x on the last directory by ACL; the ones above must let them through.
void check_way(const std::filesystem::path& file) {
    for (auto directory = file.parent_path(); directory != directory.parent_path();
         directory = directory.parent_path()) {
        struct stat status {};
        if (::stat(directory.c_str(), &status) == 0 && (status.st_mode & 0011) == 0)
            wrong(directory.string() + " lets nobody but its owner through");
    }
}

}  // namespace

int run_checks(const Config& config) {
    CheckReport report;
    report.look("configuration", [&] { return require_premises(config), config.file; });
    report.look("readers", [&] {
        check_way(config.keyring);
        return std::to_string(config.readers.size()) + " users";
    });
    check_keyring(report, config);
    check_directory(report, "state",
                    std::filesystem::exists(config.state)
                        ? std::filesystem::path(config.state)
                        : std::filesystem::path(config.state).parent_path());
    if (!config.stats.empty())
        check_directory(report, "stats", config.stats);
    if (!config.server_config.empty())
        report.look("paths.server_config", [&] { return check_server_config(config); });
    check_tokens(report, config);
    return report.exit_code();
}

}  // namespace stek::daemon
