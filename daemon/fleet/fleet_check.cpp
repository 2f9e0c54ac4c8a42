#include "daemon/fleet/fleet_check.hpp"

#include "daemon/check_report.hpp"
#include "daemon/fleet/config.hpp"
#include "daemon/fleet/fleet_tokens.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/fleet/open_engine.hpp"
#include "daemon/fleet/root_key.hpp"
#include "daemon/premises.hpp"
#include "daemon/state.hpp"

#include <filesystem>
#include <memory>
#include <stdexcept>

namespace stek::fleet {
namespace {

using daemon::CheckReport;

std::string look_at_party(const Identity& self, const PartyList* list, const char* whose) {
    if (list == nullptr)
        throw std::runtime_error(std::string(whose) + " has not been seen yet");
    const Party* party = self.in(*list);
    if (party == nullptr)
        throw std::runtime_error(self.name + " is not in " + whose +
                                 ", with these keys: approve its request");
    return self.name + " is number " + std::to_string(party->number) + " of " + whose;
}

void check_enrolment(CheckReport& report, const FleetConfig& config, const FleetTokens& tokens,
                     const KnownLists& lists) {
    const auto& id = lists.fleet_id();
    if (const auto* role = tokens.origin())
        report.look("origin", [&] {
            return look_at_party(identity_of(*role, id, Role::origin, config.origin->name, ""), lists.fleet(),
                                 "the fleet's list");
        });
    if (const auto* role = tokens.location())
        report.look("location", [&] {
            return look_at_party(
                identity_of(*role, id, Role::vault, config.location->vault, config.location->name),
                lists.fleet(), "the fleet's list");
        });
    if (const auto* role = tokens.machine())
        report.look("machine", [&] {
            return look_at_party(
                identity_of(*role, id, Role::machine, config.machine->name, config.machine->location),
                lists.machines(), "the location's list");
        });
}

void check_tokens(CheckReport& report, const FleetConfig& config, Engine& engine) {
    if (!std::filesystem::exists(config.state)) {
        report.note("paths.state", "there is no " + config.state + " yet to lock: no login");
        return;
    }
    try {
        const daemon::StateDirectory held(config.state);
        daemon::TokenClaims claims;
        std::unique_ptr<FleetTokens> tokens;
        if (!report.look("tokens", [&] {
                tokens = std::make_unique<FleetTokens>(config, claims);
                return std::string("open");
            }))
            return;
        KnownLists lists(config.state, read_root_key(config.root), common_config(config).location);
        if (report.look("lists", [&] {
                lists.refresh(engine);
                return std::string();
            }))
            check_enrolment(report, config, *tokens, lists);
    } catch (const daemon::AnotherStekd& other) {
        report.note("stekd", std::string(other.what()) + ": no login while it does");
    } catch (const std::exception& error) {
        report.look("paths.state", [&]() -> std::string { throw std::runtime_error(error.what()); });
    }
}

}  // namespace

int run_checks(const FleetConfig& config) {
    CheckReport report;
    report.look("configuration",
                [&] { return daemon::require_premises(common_config(config)), config.file; });
    const bool root = report.look("root", [&] { return read_root_key(config.root), config.root; });
    const auto engine = open_engine(config, OpenedBy::stekd);
    const bool reached = report.look("engine", [&] {
        engine->list(bucket::fleet, "");
        return engine->name();
    });
    if (root && reached)
        check_tokens(report, config, *engine);
    return report.exit_code();
}

}  // namespace stek::fleet
