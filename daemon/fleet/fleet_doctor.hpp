// `stekctl doctor` where stekd.toml is that of a fleet's party: what daemon/doctor.hpp looks at, told of the
// party's tokens, and beyond it the engine, the lists and what its stekd says of its roles.
//
// Nothing throws for what is missing or broken: that is found. Nothing is written, neither in the state
// directory nor in the engine, and no token is logged in to. One thread.
#pragma once

#include "daemon/doctor.hpp"
#include "daemon/fleet/config.hpp"
#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/party.hpp"

#include <memory>
#include <string>
#include <vector>

namespace stek::fleet {

/// As daemon::ReadSite, of stekd.toml of either kind. Throws ConfigError.
daemon::Site read_any_site(const std::string& file);

// --- the parts, each in a file of its own ---

/// A party of the configuration, as it is enrolled.
struct RoleHere {
    Role role;
    std::string section;          ///< of stekd.toml, and for `stekctl fleet enroll`: "location"
    std::string name, location;   ///< as in the list
    std::string name_setting;     ///< "location.vault"
    const pkcs11::TokenUri* uri;  ///< in the configuration
};
/// They go with the configuration.
std::vector<RoleHere> roles_of(const FleetConfig& config);

/// `stekctl fleet enroll` of that section, as it is typed here, with stekd stopped before.
std::string enroll_command(const daemon::Site& site, const std::string& section);
/// What to type to be enrolled.
std::string how_to_enroll(const RoleHere& here, const daemon::Site& site);
/// The same where the name cannot be used any more, or the keys are gone.
std::string how_to_enroll_anew(const RoleHere& here, const daemon::Site& site);

/// The files in engine.tls, where the engine is NATS: they are there, nobody else reads the key, and they are
/// good for a while yet.
void diagnose_certificates(daemon::Diagnosis& diagnosis, const FleetConfig& config, const daemon::Site& site);
/// The engine, if it can be reached; may take some seconds to find that it cannot.
std::unique_ptr<Engine> diagnose_engine(daemon::Diagnosis& diagnosis, const FleetConfig& config,
                                        const daemon::Site& site);
/// Whether the newest list that stekd knows, or that is in the engine (may be null), has each party, by the
/// keys that are in its token.
void diagnose_enrolment(daemon::Diagnosis& diagnosis, const FleetConfig& config, const daemon::Site& site,
                        const Point& root, Engine* engine);
/// What a stekd that runs says of its origin and its location.
void diagnose_roles(daemon::Diagnosis& diagnosis, const FleetConfig& config, const daemon::Site& site);

}  // namespace stek::fleet
