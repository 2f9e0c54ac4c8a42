// What doctor sees of nginx, HAProxy and Apache: their units, their configurations, and whether what runs has
// taken the provider up. OpenSSL passes silently over a provider that it cannot load, so only this tells.
#include "daemon/doctor.hpp"
#include "daemon/server_directives.hpp"
#include "daemon/server_processes.hpp"
#include "daemon/unit_facts.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <iterator>
#include <unistd.h>

namespace stek::daemon {
namespace {

namespace fs = std::filesystem;

/// As units/servers.bash has them.
struct KnownServer {
    const char* name;  ///< also its unit's
    const char* program;
    const char* user;
    const char* folder;
    ServerDirectives (*read)(const std::string& folder);
};
constexpr std::array<KnownServer, 3> known_servers{{
    {"nginx", "/usr/sbin/nginx", "www-data", "/etc/nginx", read_nginx},
    {"haproxy", "/usr/sbin/haproxy", "haproxy", "/etc/haproxy", read_haproxy},
    {"apache2", "/usr/sbin/apache2", "www-data", "/etc/apache2", read_apache},
}};

std::string pids_text(const std::vector<ServerProcess>& processes) {
    constexpr std::size_t shown = 8;
    std::string text = processes.size() == 1 ? "process " : "processes ";
    for (std::size_t i = 0; i < processes.size() && i < shown; ++i)
        text += (i == 0 ? "" : ", ") + std::to_string(processes[i].pid);
    return text +
           (processes.size() > shown ? " and " + std::to_string(processes.size() - shown) + " more" : "");
}

std::vector<ServerProcess> those(const std::vector<ServerProcess>& all,
                                 const std::function<bool(const ServerProcess&)>& wanted) {
    std::vector<ServerProcess> some;
    std::copy_if(all.begin(), all.end(), std::back_inserter(some), wanted);
    return some;
}

class Server {
  public:
    Server(Diagnosis& diagnosis, const Site& site, const KnownServer& known,
           std::vector<ServerProcess> running)
        : diagnosis_(diagnosis), site_(site), known_(known), running_(std::move(running)) {}

    void examine() {
        const auto& readers = site_.config.readers;
        const bool is_reader = std::find(readers.begin(), readers.end(), known_.user) != readers.end();
        const bool takes_part = std::any_of(running_.begin(), running_.end(),
                                            [](const auto& process) { return process.has_provider; });
        if (!is_reader && !takes_part)
            return diagnosis_.note(known_.name, std::string("not looked at: its user ") + known_.user +
                                                    " is not among readers in " + site_.config.file);
        if (!is_reader)
            diagnosis_.fail(
                known_.name,
                std::string("it has the provider, but its user ") + known_.user + " may not read the ring",
                std::string("add \"") + known_.user + "\" to readers in " + site_.config.file +
                    ", then: " + site_.new_readers_command());
        look_at_unit();
        look_at_configuration();
        look_at_processes();
    }

  private:
    [[nodiscard]] std::string restart() const { return std::string("systemctl restart ") + known_.name; }
    // Of a server that is installed but does not run, nothing is wrong now. Who is not root does not know.
    void warn(const std::string& what, const std::string& remedy) {
        if (running_.empty() && ::geteuid() == 0)
            diagnosis_.note(known_.name, "(not running) " + what, remedy);
        else
            diagnosis_.warn(known_.name, what, remedy);
    }

    void look_at_unit() {
        const auto& wanted = site_.config.server_config;
        if (wanted.empty())
            return;
        const auto drop_in = std::string("/etc/systemd/system/") + known_.name + ".service.d/stekd.conf";
        const auto remedy = "put Environment=OPENSSL_CONF=" + wanted + " below [Service] in " + drop_in +
                            " (units/install does it), then: systemctl daemon-reload; " + restart();
        try {
            const auto facts = ask_for_unit(std::string(known_.name) + ".service");
            if (!facts.loaded)
                return diagnosis_.note(known_.name, "systemd has no unit of it");
            const auto& set = facts.environment;
            if (std::find(set.begin(), set.end(), "OPENSSL_CONF=" + wanted) == set.end())
                warn("its unit does not set OPENSSL_CONF to " + wanted, remedy);
            else
                diagnosis_.fine(known_.name, "its unit sets OPENSSL_CONF");
            if (facts.changed)
                warn("systemd has not read the change of its unit's files", "systemctl daemon-reload");
        } catch (const SystemdSilent& error) {
            diagnosis_.note(known_.name, std::string("its unit is not looked at: ") + error.what());
        }
    }

    void look_at_configuration() {
        const auto directives = known_.read(known_.folder);
        const auto and_reload = std::string(", then: systemctl reload ") + known_.name;
        for (const auto& [file, setting] : directives.bans) {
            std::string what = file, remedy = "take it out of ";
            what.append(" says \"").append(setting).append("\": no tickets");
            warn(what, remedy.append(file).append(and_reload));
        }
        if (!directives.keeps_openssl_conf)
            warn("no \"env OPENSSL_CONF;\" in its configuration: a binary upgrade loses the provider",
                 "echo 'env OPENSSL_CONF;' >/etc/nginx/modules-enabled/50-stek.conf; systemctl reload nginx");
        const auto window = static_cast<std::int64_t>(site_.config.policy.session_timeout);
        if (directives.session_timeout > window)
            warn("its sessions live " + std::to_string(directives.session_timeout) + " s (" +
                     directives.timeout_setting + "), but keys open tickets for " + std::to_string(window) +
                     " s only",
                 site_.how_to_open_for(directives.session_timeout));
    }

    void look_at_processes() {
        if (::geteuid() != 0)
            return;
        if (running_.empty())
            return diagnosis_.note(known_.name, "it does not run");
        const auto speaking = those(running_, [](const auto& p) { return p.has_libssl || p.has_provider; });
        if (speaking.empty())
            return diagnosis_.note(known_.name, "it runs without OpenSSL's TLS");
        const auto lacking = those(speaking, [](const auto& p) { return !p.has_provider; });
        const auto replaced = those(speaking, [](const auto& p) { return p.provider_replaced; });
        const auto directory = fs::path(site_.config.keyring).parent_path().string();
        const auto blind = those(speaking, [&](const auto& p) {
            return p.has_provider && !sees_same_directory(p.pid, directory);
        });
        if (!lacking.empty())
            diagnosis_.fail(known_.name, pids_text(lacking) + " without the provider: no tickets of stekd's",
                            restart());
        if (!replaced.empty())
            diagnosis_.warn(known_.name,
                            pids_text(replaced) + " with a provider that has been replaced since", restart());
        if (!blind.empty())
            diagnosis_.warn(
                known_.name,
                pids_text(blind) + ", in a root directory of its own, without a view of " + directory,
                "BindPaths= of it in " + std::string("/etc/systemd/system/") + known_.name +
                    ".service.d/stekd.conf (units/install does it), then: " + restart());
        if (lacking.empty() && replaced.empty() && blind.empty())
            diagnosis_.fine(known_.name, pids_text(speaking) + " with the provider");
    }

    Diagnosis& diagnosis_;
    const Site& site_;
    const KnownServer& known_;
    std::vector<ServerProcess> running_;
};

bool is_known(const ServerProcess& process) {
    return std::any_of(known_servers.begin(), known_servers.end(),
                       [&](const KnownServer& known) { return process.program == known.program; });
}

}  // namespace

void diagnose_servers(Diagnosis& diagnosis, const Site& site) {
    const auto processes = list_processes(site.config.provider);
    if (::geteuid() != 0)
        diagnosis.note("servers", "only root sees whether their processes have the provider",
                       "sudo stekctl doctor");
    for (const auto& known : known_servers)
        if (::access(known.program, X_OK) == 0)
            Server(diagnosis, site, known,
                   those(processes, [&](const auto& process) { return process.program == known.program; }))
                .examine();
    const auto others = those(processes, [&](const auto& process) {
        return process.has_provider && !is_known(process) && process.pid != site.status.daemon.value_or(0);
    });
    for (const auto& other : others)
        diagnosis.note("other servers",
                       other.program + ", process " + std::to_string(other.pid) + ", has the provider" +
                           (other.provider_replaced ? ", one that has been replaced since" : ""),
                       other.provider_replaced ? "restart it" : "");
}

}  // namespace stek::daemon
