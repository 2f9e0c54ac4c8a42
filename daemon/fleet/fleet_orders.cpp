// What stekctl asks a fleet party's stekd for.
#include "daemon/clocks.hpp"
#include "daemon/fleet/armour.hpp"
#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/fleet_process.hpp"
#include "daemon/fleet/list_changes.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace stek::fleet {

using nlohmann::json;

json FleetWork::obey_rotate(bool revoke_old, const Attempt& attempt) {
    if (!config_.origin)
        return {{"ok", false},
                {"error", "a new key is the origins' to make: run stekctl rotate where one of them runs"}};
    if (revoke_old)
        return {{"ok", false},
                {"error", "older keys are the locations' to revoke: run stekctl revoke there"}};
    const auto trouble = attempt([this] {
        return work([this] {
            parties_->renew(daemon::read_clocks());
            parties_->run(daemon::read_clocks());
        });
    });
    if (!trouble.empty())
        return {{"ok", false}, {"error", trouble}};
    return {{"ok", true}, {"generation", generation_}, {"revoked", json::array()}};
}

json FleetWork::obey_revoke(const daemon::Revoke& order, const Attempt& attempt) {
    if (!config_.location)
        return {{"ok", false},
                {"error", "keys are the location's to revoke: run stekctl revoke where a vault of it is"}};
    std::vector<KeyId> revoked;
    const auto named = [&](KeyId key) {
        return order.all ||
               std::ranges::any_of(order.keys, [&](const auto& which) { return which.names(key); });
    };
    const auto trouble = attempt([&] {
        return work([&] {
            revoked = parties_->revoke(named, daemon::read_clocks());
            parties_->run(daemon::read_clocks());
        });
    });
    if (!trouble.empty() && revoked.empty())
        return {{"ok", false}, {"error", trouble}};
    json reply{{"ok", true}, {"generation", generation_}, {"revoked", json::array()}};
    reply["warning"] = trouble.empty()
                           ? "servers seal again with the next key that the origins make: stekctl rotate "
                             "at an origin makes one now"
                           : trouble;
    for (const auto key : revoked)
        reply["revoked"].push_back(bundle_key(key));
    return reply;
}

// Whoever orders has in mind what is there now.
json FleetWork::obey(const daemon::Order& order, const Attempt& attempt) {
    engine_->look_afresh();
    if (const auto* rotate = std::get_if<daemon::Rotate>(&order))
        return obey_rotate(rotate->revoke_old, attempt);
    return obey_revoke(std::get<daemon::Revoke>(order), attempt);
}

std::optional<PartyList> FleetWork::changed_machines(const daemon::PartyOrder& order) {
    engine_->look_afresh();
    (void)lists_.refresh(*engine_);
    const auto list = machines_or_first(lists_, config_.location->name);
    const auto now = daemon::read_clocks().wall;
    if (const auto* retire = std::get_if<daemon::RetireMachine>(&order))
        return with_retired(list, retire->name, now);
    const auto& enrol = std::get<daemon::EnrolMachine>(order);
    const auto request = open_request(unarmour_request(enrol.request), lists_.fleet_id());
    refuse_foreign_machine(request, config_.location->name);
    return with_party(list, request, now);
}

json FleetWork::obey(const daemon::PartyOrder& order, const Attempt& attempt) {
    if (!config_.location)
        return {{"ok", false}, {"error", "machines are their location's to enrol and to retire"}};
    std::optional<PartyList> list;
    std::string trouble;
    bool issued = false;
    std::optional<json> refusal;  // of what is asked for, which is no trouble of this party's
    const auto change_list = [&] {
        try {
            list = changed_machines(order);
        } catch (const EnrolmentRefused& error) {
            refusal = {{"ok", true}, {"declined", error.what()}};
        } catch (const FrameError& error) {
            refusal = {{"ok", false}, {"error", error.what()}};
        }
    };
    for (unsigned tries = 0; tries < most_attempts_to_sign && !issued && !refusal && trouble.empty(); ++tries)
        trouble = attempt([&] {
            return work([&] {
                change_list();
                if (!refusal)
                    issued = !list || parties_->issue_machines(*list);
                parties_->run(daemon::read_clocks());
            });
        });
    if (refusal)
        return *refusal;
    // What was signed is in force, whatever else went wrong then.
    issued |= list && lists_.machines() != nullptr && *lists_.machines() == *list;
    if (!issued)
        return {{"ok", false}, {"error", trouble.empty() ? "others change the list all the time" : trouble}};
    json reply{{"ok", true}};
    if (list)
        reply["serial"] = list->serial;
    if (list && std::holds_alternative<daemon::EnrolMachine>(order))
        reply["number"] = list->parties.back().number;
    if (!trouble.empty())
        reply["warning"] = trouble;
    return reply;
}

}  // namespace stek::fleet
