#include "daemon/fleet/fleet_init.hpp"

#include "daemon/fleet/known_lists.hpp"
#include "daemon/fleet/list_changes.hpp"
#include "daemon/fleet/list_desk.hpp"
#include "daemon/fleet/open_engine.hpp"
#include "daemon/fleet/root_key.hpp"
#include "daemon/fleet/token_session.hpp"
#include "daemon/init.hpp"

#include <ctime>
#include <filesystem>
#include <optional>

namespace stek::fleet {
namespace {

bool holds_a_list(Engine& engine) {
    try {
        return engine.get(bucket::fleet, KnownLists::fleet_key).has_value();
    } catch (const OversizedValue&) {
        return false;
    }
}

daemon::WouldOverwrite another_fleets_list(const Engine& engine) {
    return daemon::WouldOverwrite(engine.name() +
                                  " holds another fleet's list already, which its parties go by; nothing was "
                                  "done: give this fleet an engine of its own");
}

/// Half a key is what a kill left while it was made: no list was ever signed with it, for then there would be
/// one.
TokenKey make_root(TokenSession& token, const std::string& state) {
    if (!token.keys().numbers(Use::root).empty()) {
        if (std::filesystem::exists(state + "/" + KnownLists::fleet_file))
            throw pkcs11::TokenError("token " + token.label() +
                                     " holds half of a root key only, and there is a fleet (" + state + "/" +
                                     KnownLists::fleet_file + "): nothing was done");
        token.keys().destroy(Use::root, 0);
    }
    auto root = token.keys().make(Use::root);
    token.sync();
    return root;
}

}  // namespace

NewFleet init_fleet(const FleetConfig& config) {
    if (!config.root_token)
        throw daemon::ConfigError(config.file +
                                  ": root: there must be a section [root], whose uri names the token that "
                                  "holds, or shall hold, the fleet's root key");
    refuse_as_root_of_anothers(config.state);
    const daemon::StateDirectory held(config.state);
    const auto written =
        std::filesystem::exists(config.root) ? std::optional(read_root_key(config.root)) : std::nullopt;
    const auto engine = open_engine(config, OpenedBy::stekctl);
    const bool is_taken = holds_a_list(*engine);

    TokenSession token(config, *config.root_token);
    auto root = token.keys().find(Use::root);
    if (written && (!root || root->point != *written))
        throw daemon::WouldOverwrite(config.root + " is there already and is not the root key of token " +
                                     token.label() + (root ? "" : ", which holds none") +
                                     "; nothing was done");
    if (!root && is_taken)
        throw another_fleets_list(*engine);
    if (!root)
        root = make_root(token, config.state);

    KnownLists lists(config.state, root->point, "");
    (void)lists.refresh(*engine);
    if (lists.fleet() == nullptr) {
        if (is_taken)
            throw another_fleets_list(*engine);
        if (written)
            throw EnrolmentRefused("the fleet's list is neither in " + engine->name() + " nor in " +
                                   config.state +
                                   ": put a party's file fleet.list there, and run this again");
        PartyList first;
        first.serial = 1;
        first.signed_at = std::time(nullptr);
        lists.offer(list_frame(lists.fleet_id(), 0, root->key.get(), first));
    }
    if (!holds_a_list(*engine))
        engine->put(bucket::fleet, KnownLists::fleet_key, lists.fleet_frame());
    if (!written)
        write_root_key(config.root, root->point);
    return {lists.fleet_id(), !written};
}

}  // namespace stek::fleet
