// The provider's section in openssl.cnf.
#pragma once

#include "pkcs11/uri.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace stek {

enum class Attach { yes, no, force };

/// Checked settings; the defaults are what a missing key means.
struct Settings {
    /// With an absolute module-path; required. Parsed once, here: p11-kit 0.24 crashes where its parser gets
    /// no memory, and a server that opens the token anew may have none.
    pkcs11::TokenUri token;
    std::string module_config;  ///< `module-config`: SOFTHSM2_CONF for the PKCS#11 module; empty: leave the
                                ///< environment alone
    std::string keyring;        ///< path of the ring file; required unless attach = no
    std::string location;       ///< optional: the only location whose ring is taken
    std::string stats;          ///< directory of the counter files; empty: none
    Attach attach = Attach::yes;
    std::string audience;              ///< added to what the audience is made of
    bool audience_replaces = false;    ///< `audience = only:TEXT`: the text replaces all the rest
    std::int64_t max_lineage = 86400;  ///< seconds, 1 to 30 days; 0 refused
    bool early_data = false;
    unsigned stale_epochs = 2;           ///< 0 to 48
    std::uint64_t max_processes = 1024;  ///< each process seals 2^32 / this many tickets per key; 1 to 2^20
};

/// A wrong setting; what() names the key, the value and what is allowed.
class SettingsError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// The names of all keys, as in the section.
std::vector<std::string_view> setting_names();

/// Parses the section's key/value pairs (openssl's own keys `module`, `activate`, `identity`, `soft_load`
/// are passed over). An unknown key, a misspelt boolean, a value out of range, a URI that does not parse, a
/// relative path: SettingsError. Booleans are `yes` and `no`.
Settings parse_settings(const std::map<std::string, std::string>& section);

}  // namespace stek
