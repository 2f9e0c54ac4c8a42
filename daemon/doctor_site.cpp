// The instance that doctor looks at, and what is typed there.
#include "daemon/doctor.hpp"
#include "daemon/layout.hpp"
#include "provider/vault.hpp"

#include <filesystem>
#include <utility>

namespace stek::daemon {
namespace {

/// Nothing of a vault can be made again but a new one.
std::string how_to_make_anew(const Site& site) {
    const auto folder = std::filesystem::absolute(site.config.file).parent_path().string();
    if (site.is_system)
        return std::string("make a new instance: move ") + system_vault + " and what is in " + folder +
               " away, then: stekctl init --location " + site.config.location;
    return "make a new instance: move " + folder + " away, then: stekctl init --dir " + folder +
           " --location " + site.config.location;
}

}  // namespace

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
    const auto wanted = "session_timeout = " + std::to_string(seconds) + " in " +
                        (of_fleet ? "stekd.toml of each party of the fleet" : config.file);
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

std::string Site::log_command() const {
    return is_system ? "journalctl -u stekd -e" : "its log (standard error)";
}

// A fleet's machine gives them anew when it opens its ticket token.
std::string Site::new_ring_command() const {
    if (!runs() || of_fleet)
        return reload_command();
    return is_system ? "stekctl rotate" : "stekctl rotate --config " + config.file;
}

std::string Site::new_readers_command() const {
    return runs() && !of_fleet ? reload_command() + "; " + new_ring_command() : reload_command();
}

Site gather_site(Config config) {
    const auto heard = hear_stekd(config);
    Site site;
    site.status = gather_status(config, heard);
    site.unheard = heard.problem;
    site.is_system = config.state == system_layout().state;
    site.config = std::move(config);
    return site;
}

Site read_standalone_site(const std::string& file) {
    auto site = gather_site(load_config(file));
    const auto& config = site.config;
    const auto mechanisms = vault_mechanisms();
    site.tokens = {
        {"vault", "vault.uri", config.vault, {mechanisms.begin(), mechanisms.end()}, how_to_make_anew(site)}};
    return site;
}

}  // namespace stek::daemon
