// stekd.toml: what it may say, read strictly.
#pragma once

#include "daemon/plan.hpp"
#include "pkcs11/uri.hpp"

#include <stdexcept>
#include <string>
#include <vector>

namespace stek::daemon {

/// Something in the configuration that cannot be used. what() reads "stekd.toml:12: paths.keyring: ...", with
/// what is allowed.
class ConfigError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

struct Config {
    std::string file;
    std::string location;
    Policy policy;
    unsigned stale_epochs = 2;
    unsigned ring_version = 1;
    std::vector<std::string>
        readers;  ///< users that TLS servers run as; whether they exist is not asked here
    bool allow_weak_token = false;

    pkcs11::TokenUri vault, ticket;
    /// CKA_PRIVATE of the pairs. False where the token's files are the gate and servers have no PIN
    /// (SoftHSM).
    bool private_pairs = true;
    /// Directory for the PINs of a ticket token that is made anew when it is lost; empty: it is not.
    std::string remake_pins;

    std::string module_config;  ///< SOFTHSM2_CONF for the PKCS#11 module; may be empty
    std::string provider;       ///< stek.so
    std::string keyring;
    std::string stats;    ///< directory of the servers' counters; empty: none
    std::string state;    ///< directory of what stekd remembers
    std::string control;  ///< the control socket; empty: none
    /// openssl.cnf of the TLS servers, for --check; empty: not known.
    std::string server_config;
    std::string metrics;  ///< Prometheus text file for node_exporter's textfile collector; empty: none
};

/// Seconds; for a longer one a key ring has no room.
std::uint64_t longest_session_timeout(const Policy& policy) noexcept;

/// Throws ConfigError, what() beginning with the name given, if a number is out of its range, or if a ring
/// has no room for the keys that are open for so long.
struct NumberNames {
    std::string period, session_timeout, stale_epochs;
};
void check_numbers(const Policy& policy, unsigned stale_epochs, const NumberNames& names);

class TomlSection;
/// period, session_timeout and stale_epochs. Throws ConfigError.
void read_numbers(TomlSection& top, Policy& policy, unsigned& stale_epochs);

/// Throws ConfigError if two of what stekd writes have one place, or servers may write where the key ring is.
void refuse_shared_places(const Config& config);

/// Throws ConfigError: no such file, not TOML, an unknown key, one missing, a wrong type, out of range.
Config load_config(const std::string& file);

}  // namespace stek::daemon
