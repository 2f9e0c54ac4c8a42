#include "daemon/doctor.hpp"

#include "daemon/check_server.hpp"
#include "daemon/layout.hpp"
#include "daemon/premises.hpp"

#include <filesystem>
#include <unistd.h>

namespace stek::daemon {
namespace {

std::optional<Site> look_at_site(Diagnosis& diagnosis, const std::string& file, const ReadSite& read) {
    try {
        auto site = read(file);
        const auto live = std::filesystem::path(system_layout().keyring).parent_path();
        if (site.is_system && !site.runs() && !std::filesystem::exists(live))
            diagnosis.note("configuration", file + "; " + live.string() + " is made when stekd starts",
                           site.start_command());
        else
            diagnosis.look(
                "configuration", [&] { return require_premises(site.config), file; },
                "correct " + file + " (man stekd.toml), then: " +
                    (site.has_stekd() ? site.reload_command() : "stekctl doctor --config " + file));
        return site;
    } catch (const std::exception& error) {
        diagnosis.fail(
            "configuration", error.what(),
            std::filesystem::exists(file)
                ? "correct " + file + " (man stekd.toml), then: stekctl doctor --config " + file
                : "name the one there is with --config FILE, or make one: stekctl init --location NAME");
        return {};
    }
}

void look_at_server_config(Diagnosis& diagnosis, const Site& site) {
    const auto& config = site.config;
    if (config.server_config.empty())
        diagnosis.note("openssl.cnf", config.file + " does not name the servers' (paths.server_config)");
    else
        diagnosis.look(
            "openssl.cnf", [&] { return check_server_config(config); },
            "correct " + config.server_config + " (man stek-provider) or " + config.file +
                " (man stekd.toml) and restart the servers");
}

/// What is there for TLS servers' sake.
void look_at_servers(Diagnosis& diagnosis, const Site& site) {
    if (site.config.provider.empty())  // a fleet's machine need not name it
        return diagnosis.note("servers", "not looked at: " + site.config.file + " does not name the provider",
                              "provider = \"/path/to/stek.so\" below [paths] in " + site.config.file);
    look_at_server_config(diagnosis, site);
    diagnose_servers(diagnosis, site);
}

}  // namespace

std::string Endpoint::text() const {
    return (host.find(':') != std::string::npos ? "[" + host + "]" : host) + ":" + port;
}

std::optional<Endpoint> parse_endpoint(const std::string& text) {
    const auto colon = text.rfind(':');
    if (colon == std::string::npos)
        return {};
    Endpoint endpoint{text.substr(0, colon), text.substr(colon + 1)};
    auto& host = endpoint.host;
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed)
        host = host.substr(1, host.size() - 2);
    else if (host.find_first_of(":[]") != std::string::npos)
        return {};
    const auto& port = endpoint.port;
    constexpr unsigned long highest_port = 65535;
    const bool number = !port.empty() && port.size() <= 5 &&
                        port.find_first_not_of("0123456789") == std::string::npos && std::stoul(port) >= 1 &&
                        std::stoul(port) <= highest_port;
    return !host.empty() && number ? std::optional(endpoint) : std::nullopt;
}

void diagnose(Diagnosis& diagnosis, const DoctorOptions& options, const ReadSite& read) {
    if (::geteuid() != 0)
        diagnosis.note("doctor", "not run as root: what only root may see is left out",
                       "sudo stekctl doctor");
    diagnose_openssl(diagnosis);
    diagnose_clock(diagnosis);
    const auto site = look_at_site(diagnosis, options.config, read);
    const bool has_ring = site && site->has_ring();
    if (site && site->has_stekd())
        diagnose_daemon(diagnosis, *site);
    if (has_ring) {
        diagnose_ring(diagnosis, *site);
        // Before any token: its children are forks of a process that has no module in it yet.
        diagnose_readers(diagnosis, *site);
    }
    if (site && site->has_stekd()) {
        diagnose_pins(diagnosis, *site);
        diagnose_tokens(diagnosis, *site);
    }
    if (has_ring)
        look_at_servers(diagnosis, *site);
    if (site && site->look_further)
        site->look_further(diagnosis, *site);
    for (const auto& endpoint : options.endpoints)
        diagnose_connection(diagnosis, endpoint, options.server_name, has_ring ? &*site : nullptr);
}

}  // namespace stek::daemon
