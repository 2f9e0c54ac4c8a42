// `stekctl doctor`: looks at an instance, at the TLS servers on this machine, and at the tickets of chosen
// ports. It changes nothing, and while a stekd runs it logs in to no token: SoftHSM wants one writer.
#pragma once

#include "daemon/config.hpp"
#include "daemon/diagnosis.hpp"
#include "daemon/status.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace stek::daemon {

struct Endpoint {
    std::string host;  ///< a name or an address, IPv6 without its brackets
    std::string port;
    [[nodiscard]] std::string text() const;  ///< "HOST:PORT", "[::1]:443"
};
/// "HOST:PORT" or "[IPv6]:PORT"; nothing if it is neither.
std::optional<Endpoint> parse_endpoint(const std::string& text);

struct DoctorOptions {
    std::string config;
    std::vector<Endpoint> endpoints;
    std::string server_name;  ///< asked of each endpoint; empty: its host
};

/// Never throws for what is missing or broken: that is found.
void diagnose(Diagnosis& diagnosis, const DoctorOptions& options);

// --- the parts, each in a file of its own ---

/// The instance as all parts see it, gathered once.
struct Site {
    Config config;
    Status status;
    std::string unheard;     ///< why a stekd that runs did not say how it is; empty: it did, or none runs
    bool is_system = false;  ///< the one of stekd.service

    [[nodiscard]] bool runs() const { return status.daemon.value_or(0) != 0; }
    /// What to type.
    [[nodiscard]] std::string start_command() const;
    [[nodiscard]] std::string restart_command() const;
    [[nodiscard]] std::string reload_command() const;
    [[nodiscard]] std::string rotate_command() const;
    /// What to do so that keys open tickets for so many seconds.
    [[nodiscard]] std::string how_to_open_for(std::int64_t seconds) const;
};

void diagnose_openssl(Diagnosis& diagnosis);
void diagnose_clock(Diagnosis& diagnosis);
void diagnose_pins(Diagnosis& diagnosis, const Site& site);
void diagnose_tokens(Diagnosis& diagnosis, const Site& site);
void diagnose_readers(Diagnosis& diagnosis, const Site& site);
void diagnose_daemon(Diagnosis& diagnosis, const Site& site);
void diagnose_ring(Diagnosis& diagnosis, const Site& site);
void diagnose_servers(Diagnosis& diagnosis, const Site& site);
/// Without a site it is not known whose the tickets are.
void diagnose_connection(Diagnosis& diagnosis, const Endpoint& endpoint, const std::string& server_name,
                         const Site* site);

}  // namespace stek::daemon
