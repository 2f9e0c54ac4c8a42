// What doctor sees of the engine, and of the certificates that let a party in.
#include "daemon/fleet/certificates.hpp"
#include "daemon/fleet/fleet_doctor.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/fleet/open_engine.hpp"
#include "daemon/layout.hpp"
#include "daemon/looks.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unistd.h>

#include <sys/stat.h>

namespace stek::fleet {
namespace {

using daemon::Diagnosis;

constexpr std::int64_t a_day = 86400, soon = 30 * a_day;

bool is_hidden(const std::string& path) {
    return ::access(path.c_str(), R_OK) != 0 && errno == EACCES;
}

void look_at_certificate(Diagnosis& diagnosis, const std::string& subject, const std::string& path,
                         const std::string& remedy) {
    if (is_hidden(path))
        return diagnosis.note(subject, path + " is not ours to look at", "sudo stekctl doctor");
    try {
        const auto validity = validity_of(read_certificate(path).get());
        const auto days = std::to_string(validity.ends_in / a_day) + " days";
        if (validity.begins_in > 0)
            diagnosis.fail(subject,
                           path + " is not good yet: the clock is wrong here, or was where it was made",
                           "timedatectl set-ntp true");
        else if (validity.ends_in < 0)
            diagnosis.fail(subject, path + " has expired", remedy);
        else if (validity.ends_in < soon)
            diagnosis.warn(subject, path + " expires in " + days, remedy);
        else
            diagnosis.fine(subject, path + ", for " + days + " yet");
    } catch (const std::exception& error) {
        diagnosis.fail(subject, error.what(), remedy);
    }
}

void look_at_key(Diagnosis& diagnosis, const std::string& subject, const std::string& path,
                 const std::string& remedy) {
    struct stat status {};
    const int error = ::stat(path.c_str(), &status) == 0 ? 0 : errno;
    if (error == EACCES)
        diagnosis.note(subject, path + " is not ours to look at", "sudo stekctl doctor");
    else if (error != 0)
        diagnosis.fail(subject, path + ": " + std::strerror(error), remedy);
    else if ((status.st_mode & 0077) != 0)
        diagnosis.fail(subject, path + " can be read or changed by others than its owner",
                       "chmod 600 " + path);
    else
        diagnosis.fine(subject, path);
}

/// As `stekctl fleet enroll` calls it.
const char* enrolled_as(NatsRole role) {
    return role == NatsRole::vault ? "location" : name_of(role);
}

/// The request stays where it was made, and is good for each renewal.
std::string how_to_certify(const FleetConfig& config, const daemon::Site& site, NatsRole role) {
    const auto root = std::string("where the root key is: ");
    if (role == NatsRole::root)
        return "rm " + nats_tls(config, role).key + " " + nats_tls(config, role).certificate +
               "; stekctl fleet init --config " + config.file;
    const auto request = config.nats->tls + "/" + name_of(role) + ".csr";
    const auto install =
        std::string("install ") + (site.is_system ? "-o stekd -g stekd " : "") + "-m 644 CERTIFICATE ";
    const auto make =
        ::access(request.c_str(), F_OK) == 0 ? "" : enroll_command(site, enrolled_as(role)) + "; ";
    return make + root + "stekctl fleet certify REQUEST --output CERTIFICATE, with " + request +
           "; then here: " + install + nats_tls(config, role).certificate;
}

std::string how_to_reach(const FleetConfig& config, const daemon::Site& site) {
    const auto user = site.is_system ? std::string(daemon::system_user) : "USER";
    if (!config.nats)
        return "mount what is to be there, or correct engine.directory in " + config.file +
               "; if stekd's user may not write there: setfacl -m u:" + user + ":rwx " +
               config.engine_directory;
    return "at one of its hosts at least: systemctl start nats-server; or correct engine.nats in " +
           config.file +
           ". Certificates: see above; who was certified last is let in once the servers have grants.conf "
           "and SIGHUP";
}

bool holds_list(Engine& engine) {
    const auto keys = engine.list(bucket::fleet, "");
    return std::ranges::find(keys, KnownLists::fleet_key) != keys.end();
}

}  // namespace

void diagnose_certificates(Diagnosis& diagnosis, const FleetConfig& config, const daemon::Site& site) {
    // They are there for as long as the unit's process runs, and for it alone.
    if (config.nats->tls.starts_with("/run/credentials/"))
        return diagnosis.note("certificates",
                              "not looked at: systemd hands them to stekd in " + config.nats->tls);
    look_at_certificate(diagnosis, "authority certificate", config.nats->tls + "/authority.crt",
                        "copy authority.crt to " + config.nats->tls + " from where the root key is");
    for (const auto& party : nats_parties(config)) {
        if (party.role == NatsRole::root && config.has_role())
            continue;  // its key may be elsewhere
        const auto tls = nats_tls(config, party.role);
        const auto remedy = how_to_certify(config, site, party.role);
        const auto whose = std::string(name_of(party.role));
        look_at_certificate(diagnosis, whose + " certificate", tls.certificate, remedy);
        look_at_key(diagnosis, whose + " certificate's key", tls.key, remedy);
    }
}

std::unique_ptr<Engine> diagnose_engine(Diagnosis& diagnosis, const FleetConfig& config,
                                        const daemon::Site& site) {
    const char* subject = "engine";
    const bool by_stekd = site.has_stekd();
    try {
        auto engine = open_engine(config, by_stekd ? OpenedBy::stekd : OpenedBy::stekctl);
        if (!config.nats)
            daemon::look_at_directory(config.engine_directory);
        if (holds_list(*engine))
            diagnosis.fine(subject, engine->name());
        else
            diagnosis.warn(subject, engine->name() + " is reached, but does not hold the fleet's list",
                           "see that it is this fleet's (engine in " + config.file +
                               "); then, where the root key is: stekctl fleet init --config root.toml");
        return engine;
    } catch (const std::exception& error) {
        if (::geteuid() != 0)
            diagnosis.note(subject, error.what(), "sudo stekctl doctor");
        else
            diagnosis.fail(subject, error.what(), how_to_reach(config, site));
        return {};
    }
}

}  // namespace stek::fleet
