// `stekctl doctor`: looks at an instance, at the TLS servers on this machine, and at the tickets of chosen
// ports. It changes nothing, and while a stekd runs it logs in to no token: SoftHSM wants one writer.
#pragma once

#include "daemon/config.hpp"
#include "daemon/diagnosis.hpp"
#include "daemon/status.hpp"
#include "pkcs11/token.hpp"

#include <cstdint>
#include <functional>
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

struct Site;
/// Reads a stekd.toml, and asks the stekd of it how it is. Throws ConfigError.
using ReadSite = std::function<Site(const std::string& file)>;

/// Never throws for what is missing or broken: that is found.
void diagnose(Diagnosis& diagnosis, const DoctorOptions& options, const ReadSite& read);

// --- what there is to look at ---

/// A token that is stekd's alone.
struct OwnToken {
    std::string name;     ///< "vault": the findings are of the "vault token" and the "vault PIN"
    std::string setting;  ///< of stekd.toml: "vault.uri"
    pkcs11::TokenUri uri;
    std::vector<pkcs11::NeededMechanism> mechanisms;
    std::string anew;  ///< what to do if it is gone for good; the text goes on after "or "
};

/// What stekd.toml calls some of what Config has.
struct SettingNames {
    std::string ticket = "ticket.uri", remake_pins = "ticket.remake_pins", keyring = "paths.keyring";
};

/// The instance as all parts see it, gathered once.
struct Site {
    Config config;
    Status status;
    std::string unheard;     ///< why a stekd that runs did not say how it is; empty: it did, or none runs
    bool is_system = false;  ///< the one of stekd.service
    bool of_fleet = false;   ///< its keys are made elsewhere, by a policy that others have too
    std::vector<OwnToken> tokens;  ///< of one module; empty where stekd has nothing to do
    SettingNames names;
    /// What its kind alone has, looked at after the tokens, none of which is open then; may be empty.
    std::function<void(Diagnosis&, const Site&)> look_further;

    [[nodiscard]] bool runs() const { return status.daemon.value_or(0) != 0; }
    /// Whether it is for TLS servers: it has a key ring and a ticket token.
    [[nodiscard]] bool has_ring() const { return !config.keyring.empty(); }
    /// Whether it is for a stekd, and not for stekctl alone.
    [[nodiscard]] bool has_stekd() const { return !tokens.empty(); }
    // What to type.
    [[nodiscard]] std::string start_command() const;
    [[nodiscard]] std::string restart_command() const;
    [[nodiscard]] std::string reload_command() const;
    /// Where stekd's log is.
    [[nodiscard]] std::string log_command() const;
    /// After it readers have their rights to the ring and to the ticket token.
    [[nodiscard]] std::string new_ring_command() const;
    /// The same, of readers that stekd.toml has now.
    [[nodiscard]] std::string new_readers_command() const;
    /// What to do so that keys open tickets for so many seconds.
    [[nodiscard]] std::string how_to_open_for(std::int64_t seconds) const;
};

/// Of any kind: what its configuration and its stekd say. All from `of_fleet` on is not set yet.
Site gather_site(Config config);
/// A stekd that makes its keys itself. As ReadSite.
Site read_standalone_site(const std::string& file);

// --- the parts, each in a file of its own ---

void diagnose_openssl(Diagnosis& diagnosis);
void diagnose_clock(Diagnosis& diagnosis);
void diagnose_pins(Diagnosis& diagnosis, const Site& site);
/// Ends with what enforcement is known of the ticket token.
void diagnose_tokens(Diagnosis& diagnosis, const Site& site);
void diagnose_enforcement(Diagnosis& diagnosis, const Site& site);
void diagnose_readers(Diagnosis& diagnosis, const Site& site);
void diagnose_daemon(Diagnosis& diagnosis, const Site& site);
void diagnose_ring(Diagnosis& diagnosis, const Site& site);
void diagnose_servers(Diagnosis& diagnosis, const Site& site);
/// `site`: null unless it has a key ring; it is not known then whose the tickets are.
void diagnose_connection(Diagnosis& diagnosis, const Endpoint& endpoint, const std::string& server_name,
                         const Site* site);

}  // namespace stek::daemon
