// Where an instance of stekd keeps its parts.
//
// In a directory of its own (`stekctl init --dir`), all of it is below that. System-wide, each part is where
// its life ends at the right time: the vault on disk, ring and ticket token below /run. SoftHSM has one
// tokendir a process and passes over symbolic links, so the unit binds the vault's directory into the
// tokendir, for stekd alone: servers find the ticket token there and nothing else.
#pragma once

#include <string>

namespace stek::daemon {

/// All paths are absolute; `control` may be empty.
struct Layout {
    std::string configuration;  ///< directory of stekd.toml, softhsm2.conf, openssl.cnf and pins/
    std::string tokens;         ///< SoftHSM's tokendir
    std::string keyring, stats, state, control;
    std::string vault_pin_source;  ///< as in a URI
    std::string remake_pins;

    [[nodiscard]] std::string in_configuration(const std::string& name) const {
        return configuration + "/" + name;
    }
};

/// `token_dir` may be empty: tokens/ in the directory.
Layout layout_in(const std::string& directory, const std::string& token_dir);
/// What stekd.service expects.
Layout system_layout();

inline constexpr char system_user[] = "stekd";
inline constexpr char system_state[] = "/var/lib/stekd";  ///< StateDirectory=
inline constexpr char system_vault[] =
    "/var/lib/stekd/vault";  ///< the vault token's directory, or a link to it

}  // namespace stek::daemon
