// `stekctl init`: tokens (SoftHSM's), PINs and configuration; system-wide or in a directory of their own.
#pragma once

#include "daemon/layout.hpp"
#include "daemon/plan.hpp"

#include <stdexcept>
#include <string>
#include <vector>

namespace stek::daemon {

struct InitOptions {
    std::string directory;  ///< absolute; empty: the system-wide layout
    std::string token_dir;  ///< absolute; empty: where the layout has it
    std::string location;
    Policy policy;
    unsigned stale_epochs = 2;
    std::string module;    ///< the PKCS#11 module, SoftHSM's
    std::string provider;  ///< stek.so
    std::vector<std::string> readers;
};

/// The directory holds something already that init would make.
class WouldOverwrite : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// Where the parts go.
Layout layout_of(const InitOptions& options);

/// Makes softhsm2.conf, tokens/ (labels stekd-vault, stekd-ticket), pins/, run/, run/stats/, state/,
/// stekd.toml and openssl.cnf; on failure what was made is removed. Throws WouldOverwrite, ConfigError (an
/// option that cannot be used), pkcs11::Error, TokenError (also if the probe finds the token weak), UriError,
/// std::system_error.
void init_instance(const InitOptions& options);

/// Makes /etc/stekd with pins/ and the vault token in /var/lib/stekd/vault, or in `token_dir` with a link to
/// it. The ticket token is stekd's to make, at its start; a scratch one is probed here and thrown away. Needs
/// root and the user stekd. Throws as init_instance().
void init_system(const InitOptions& options);

/// openssl.cnf for servers: the site's own file first, then the provider. `site` is read to learn which of
/// its sections to go on with; it need not exist.
std::string server_openssl_cnf(const InitOptions& options, const std::string& site);

}  // namespace stek::daemon
