// What doctor sees of stekd itself, the key ring and the clock.
#include "daemon/doctor.hpp"
#include "daemon/looks.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include <sys/timex.h>

namespace stek::daemon {
namespace {

constexpr char stekd[] = "stekd", ring_subject[] = "key ring";

/// What has no ring has no rotations.
std::string runs_text(const Site& site, const Health& health) {
    const auto failed = std::to_string(health.failures);
    return site.has_ring() ? std::to_string(health.rotations) + " rotations, " + failed + " failed"
                           : failed + " runs failed";
}

void report_health(Diagnosis& diagnosis, const Site& site, const Health& health) {
    if (!health.trouble.empty())
        diagnosis.fail(stekd, "it runs, but is in trouble: " + health.trouble,
                       "the cause is in " + site.log_command() + "; then: " + site.restart_command());
    else if (!health.ready)
        diagnosis.warn(stekd,
                       site.has_ring() ? "it runs, but has put no key ring in place yet"
                                       : "it runs, but is not ready yet",
                       "wait a few seconds; if it stays so, see " + site.log_command());
    else
        diagnosis.fine(stekd, "it runs as process " + std::to_string(*site.status.daemon) + ", " +
                                  runs_text(site, health));
    if (health.chain_lag > 0)
        diagnosis.warn("chain key", "it is " + std::to_string(health.chain_lag) + " epochs behind the clock",
                       "stekd catches up by itself; if it does not, see " + site.log_command());
}

// The remedy for a ring that is not there or not right: stekd makes a new one when it starts.
std::string ring_remedy(const Site& site) {
    return site.restart_command() + "  (if there is still none: " + site.log_command() + ")";
}

void report_ring(Diagnosis& diagnosis, const Site& site, const KeyRing& ring) {
    const auto& config = site.config;
    const auto now = site.status.now.wall;
    if (ring.location != config.location) {
        diagnosis.fail(ring_subject, "it is of location " + ring.location + ", not " + config.location,
                       ring_remedy(site));
        return;
    }
    constexpr std::int64_t tolerance = 5;  // seconds; it may have been written since `now`
    if (ring.written_at > now + tolerance)
        diagnosis.warn(ring_subject,
                       "it was written " + duration_text(ring.written_at - now) +
                           " in the future: the clock was set back",
                       "set the clock right, then: " + site.new_ring_command());
    const auto status = status_of(ring, site.status.now, config.stale_epochs);
    const auto* sealing = sealing_record(ring, now, config.stale_epochs);
    if (sealing == nullptr)
        diagnosis.fail(ring_subject, "none of its keys seals now: servers give no tickets",
                       ring_remedy(site));
    else if (sealing->seal_until <= now)
        diagnosis.warn(ring_subject,
                       "rotation is late: its newest key seals beyond its time, for " +
                           std::to_string(config.stale_epochs) + " epochs at most",
                       ring_remedy(site));
    else
        diagnosis.fine(ring_subject, "generation " + std::to_string(ring.generation) + ", " +
                                         std::to_string(ring.records.size()) + " keys; it can seal for " +
                                         duration_text(status.seal_until - now));
}

}  // namespace

void diagnose_daemon(Diagnosis& diagnosis, const Site& site) {
    const auto& status = site.status;
    if (!status.daemon)
        diagnosis.note(stekd, "not known whether it runs: " + site.config.state + " is for root and stekd",
                       "sudo stekctl doctor");
    else if (!site.runs())
        diagnosis.fail(stekd, "it does not run", site.start_command());
    else if (status.health)
        report_health(diagnosis, site, *status.health);
    else if (site.unheard.empty())
        diagnosis.note(stekd, "it runs; without a control socket it cannot be asked how it is",
                       "set paths.control in " + site.config.file + ", then: " + site.reload_command());
    else
        diagnosis.warn(stekd, site.unheard, site.restart_command());
}

void diagnose_ring(Diagnosis& diagnosis, const Site& site) {
    const auto& config = site.config;
    const auto directory = std::filesystem::path(config.keyring).parent_path();
    try {
        if (const auto ring = read_ring_file(config.keyring))
            report_ring(diagnosis, site, *ring);
        else
            diagnosis.fail(ring_subject, "there is none at " + config.keyring, ring_remedy(site));
    } catch (const std::system_error& error) {
        if (error.code() == std::errc::permission_denied)
            diagnosis.note(ring_subject, error.what(), "sudo stekctl doctor");
        else
            diagnosis.fail(ring_subject, error.what(), ring_remedy(site));
    } catch (const std::exception& error) {
        diagnosis.fail(ring_subject, config.keyring + ": " + error.what(), ring_remedy(site));
    }
    if (!is_on_tmpfs(directory))
        diagnosis.warn(
            "key ring's place",
            directory.string() + " is not on a tmpfs: old rings stay on the disk, and outlive the boot",
            "set " + site.names.keyring + " in " + config.file +
                " to a file below /run, keyring in the servers' openssl.cnf too, then: " +
                site.restart_command() + "; or: mount -t tmpfs tmpfs " + directory.string());
}

void diagnose_clock(Diagnosis& diagnosis) {
    timex clock{};  // no modes: it is only read
    const int state = ::adjtimex(&clock);
    if (state < 0)
        diagnosis.note("clock", "the kernel does not tell whether it is synchronised");
    else if (state == TIME_ERROR || (clock.status & STA_UNSYNC) != 0)
        diagnosis.warn(
            "clock", "nothing keeps it right (NTP): keys carry the time, and other machines must agree on it",
            "apt-get install systemd-timesyncd, then: timedatectl set-ntp true");
    else
        diagnosis.fine("clock", "synchronised");
}

}  // namespace stek::daemon
