#include "daemon/fleet/fleet_doctor.hpp"

#include "daemon/fleet/root_key.hpp"
#include "daemon/fleet/token_keys.hpp"
#include "daemon/state.hpp"
#include "provider/vault.hpp"

#include <optional>

namespace stek::fleet {
namespace {

using daemon::Diagnosis;
using daemon::Site;

daemon::OwnToken own_token(const RoleHere& here, const Site& site) {
    const auto keys = token_key_mechanisms();
    std::vector<pkcs11::NeededMechanism> mechanisms(keys.begin(), keys.end());
    if (here.role == Role::vault)
        mechanisms.insert(mechanisms.end(), vault_mechanisms().begin(), vault_mechanisms().end());
    return {here.role == Role::vault ? "vault" : here.section, here.section + ".uri", *here.uri,
            std::move(mechanisms),
            "make another one (softhsm2-util --init-token), and then " + how_to_enroll_anew(here, site)};
}

std::optional<Point> look_at_root(Diagnosis& diagnosis, const FleetConfig& config) {
    try {
        const auto root = read_root_key(config.root);
        diagnosis.fine("fleet", daemon::hex(fleet_id_of(root)) + ", by " + config.root);
        return root;
    } catch (const std::exception& error) {
        diagnosis.fail("fleet", error.what(),
                       "copy root.pem to " + config.root +
                           " from where the root key is, or from another party: it is the same everywhere");
        return {};
    }
}

void look_at_fleet(Diagnosis& diagnosis, const FleetConfig& config, const Site& site) {
    const auto root = look_at_root(diagnosis, config);
    if (config.nats)
        diagnose_certificates(diagnosis, config, site);
    const auto engine = diagnose_engine(diagnosis, config, site);
    if (root)
        diagnose_enrolment(diagnosis, config, site, *root, engine.get());
    diagnose_roles(diagnosis, config, site);
}

Site read_party_site(const std::string& file) {
    const auto config = load_fleet_config(file);
    auto site = daemon::gather_site(common_config(config));
    site.of_fleet = true;
    for (const auto& here : roles_of(config))
        site.tokens.push_back(own_token(here, site));
    site.names = {"machine.ticket", "machine.remake_pins", "machine.keyring"};
    site.look_further = [config](Diagnosis& diagnosis, const Site& seen) {
        look_at_fleet(diagnosis, config, seen);
    };
    return site;
}

}  // namespace

std::vector<RoleHere> roles_of(const FleetConfig& config) {
    std::vector<RoleHere> roles;
    if (const auto& origin = config.origin)
        roles.push_back({Role::origin, "origin", origin->name, "", "origin.name", &origin->token});
    if (const auto& location = config.location)
        roles.push_back(
            {Role::vault, "location", location->vault, location->name, "location.vault", &location->token});
    if (const auto& machine = config.machine)
        roles.push_back(
            {Role::machine, "machine", machine->name, machine->location, "machine.name", &machine->token});
    return roles;
}

std::string enroll_command(const Site& site, const std::string& section) {
    const auto what = "enroll " + section + " --config " + site.config.file;
    return site.is_system ? "systemctl stop stekd; stekd-fleet " + what
                          : "stop stekd, then: stekctl fleet " + what;
}

std::string how_to_enroll(const RoleHere& here, const Site& site) {
    return enroll_command(site, here.section) + "; " +
           (here.role == Role::machine ? "at a vault of location " + here.location
                                       : "where the root key is") +
           ": stekctl fleet approve REQUEST";
}

std::string how_to_enroll_anew(const RoleHere& here, const Site& site) {
    return "set another " + here.name_setting + " in " + site.config.file + ", for a name is given once; " +
           how_to_enroll(here, site);
}

Site read_any_site(const std::string& file) {
    return is_fleet_config(file) ? read_party_site(file) : daemon::read_standalone_site(file);
}

}  // namespace stek::fleet
