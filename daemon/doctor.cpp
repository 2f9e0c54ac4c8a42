#include "daemon/doctor.hpp"

#include "daemon/check_server.hpp"
#include "daemon/layout.hpp"
#include "daemon/premises.hpp"

#include <filesystem>
#include <unistd.h>

namespace stek::daemon {
namespace {

std::optional<Site> look_at_site(Diagnosis& diagnosis, const std::string& file) {
    try {
        Site site{.config = load_config(file), .status = {}, .unheard = {}, .is_system = false};
        const auto heard = hear_stekd(site.config);
        site.status = gather_status(site.config, heard);
        site.unheard = heard.problem;
        site.is_system = site.config.state == system_layout().state;
        const auto live = std::filesystem::path(system_layout().keyring).parent_path();
        if (site.is_system && !site.runs() && !std::filesystem::exists(live))
            diagnosis.note("configuration", file + "; " + live.string() + " is made when stekd starts",
                           site.start_command());
        else
            diagnosis.look(
                "configuration", [&] { return require_premises(site.config), file; },
                "correct " + file + " (man stekd.toml), then: " + site.reload_command());
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

std::string Site::start_command() const {
    return is_system ? "systemctl start stekd" : "stekd --config " + config.file;
}

std::string Site::restart_command() const {
    if (!runs())
        return start_command();
    return is_system ? "systemctl restart stekd"
                     : "kill " + std::to_string(*status.daemon) + "; " + start_command();
}

std::string Site::how_to_open_for(std::int64_t seconds) const {
    const auto longest = static_cast<std::int64_t>(longest_session_timeout(config.policy));
    const auto wanted = "session_timeout = " + std::to_string(seconds) + " in " + config.file;
    if (seconds <= longest)
        return wanted + ", then: " + reload_command();
    return "let sessions live " + std::to_string(longest) + " s at most, or " + wanted +
           " and a longer period: with one of " + std::to_string(config.policy.period) +
           " s a key ring has no room for more";
}

std::string Site::reload_command() const {
    if (!runs())
        return start_command();
    return is_system ? "systemctl reload stekd" : "kill -HUP " + std::to_string(*status.daemon);
}

std::string Site::rotate_command() const {
    return is_system ? "stekctl rotate" : "stekctl rotate --config " + config.file;
}

void diagnose(Diagnosis& diagnosis, const DoctorOptions& options) {
    if (::geteuid() != 0)
        diagnosis.note("doctor", "not run as root: what only root may see is left out",
                       "sudo stekctl doctor");
    diagnose_openssl(diagnosis);
    diagnose_clock(diagnosis);
    const auto site = look_at_site(diagnosis, options.config);
    if (site) {
        diagnose_daemon(diagnosis, *site);
        diagnose_ring(diagnosis, *site);
        // Before any token: its children are forks of a process that has no module in it yet.
        diagnose_readers(diagnosis, *site);
        diagnose_pins(diagnosis, *site);
        diagnose_tokens(diagnosis, *site);
        look_at_server_config(diagnosis, *site);
        diagnose_servers(diagnosis, *site);
    }
    for (const auto& endpoint : options.endpoints)
        diagnose_connection(diagnosis, endpoint, options.server_name, site ? &*site : nullptr);
}

}  // namespace stek::daemon
