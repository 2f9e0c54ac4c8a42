#include "daemon/fleet/list_desk.hpp"

#include "daemon/fleet/list_changes.hpp"
#include "daemon/fleet/open_engine.hpp"
#include "daemon/fleet/root_key.hpp"
#include "daemon/fleet/vault_session.hpp"

#include <filesystem>
#include <pwd.h>
#include <unistd.h>

#include <sys/stat.h>

namespace stek::fleet {
namespace {

std::string location_of(const FleetConfig& config) {
    return config.location ? config.location->name : "";
}

}  // namespace

bool signs(const FleetConfig& config, Whose whose) noexcept {
    return whose == Whose::fleet ? config.root_token.has_value() : config.location.has_value();
}

bool stekd_runs(const FleetConfig& config) {
    return config.location && !config.control.empty() && daemon::StateDirectory::holder(config.state) != 0;
}

void refuse_as_root_of_anothers(const std::string& state) {
    // Where it is to be made, it is the directory's around it.
    const auto around = std::filesystem::path(state).parent_path();
    struct stat status {};
    if (::geteuid() != 0 || (::stat(state.c_str(), &status) != 0 && ::stat(around.c_str(), &status) != 0) ||
        status.st_uid == 0)
        return;
    const passwd* owner = ::getpwuid(status.st_uid);
    const std::string name = owner != nullptr ? owner->pw_name : "#" + std::to_string(status.st_uid);
    throw daemon::ConfigError(state + " is " + name + "'s, who could not read what root leaves there: run " +
                              "it as that user (runuser -u " + name + " -- stekctl fleet ...)");
}

const std::string& own_state(const FleetConfig& config) {
    refuse_as_root_of_anothers(config.state);
    return config.state;
}

ListDesk::ListDesk(FleetConfig config)
    : config_(std::move(config)),
      held_(own_state(config_)),
      root_(read_root_key(config_.root)),
      lists_(config_.state, root_, location_of(config_)),
      engine_(open_engine(config_, OpenedBy::stekctl)) {
    (void)lists_.refresh(*engine_);
}

PartyList ListDesk::list(Whose whose) const {
    const PartyList* known = whose == Whose::fleet ? lists_.fleet() : lists_.machines();
    if (known != nullptr)
        return *known;
    if (whose == Whose::fleet)
        throw EnrolmentRefused(
            "no list of the fleet is in " + engine_->name() + " or in " + config_.state +
            ": stekctl fleet init makes the first; if there was one, any party's file fleet.list is a copy");
    return machines_or_first(lists_, location_of(config_));
}

std::optional<PartyList> ListDesk::change(Whose whose, const Change& change) {
    for (unsigned attempt = 0; attempt < most_attempts_to_sign; ++attempt) {
        auto changed = change(list(whose));
        if (!changed) {
            store(whose);
            return {};
        }
        if (!issue_list(lists_, *engine_, *changed, sign(whose, *changed)))
            continue;
        if (whose == Whose::fleet)
            engine_->prepare(buckets_of(*changed));
        return changed;
    }
    throw EngineError(engine_->name() + ": others change the list all the time");
}

std::vector<std::uint8_t> ListDesk::sign(Whose whose, const PartyList& list) {
    return whose == Whose::fleet ? sign_by_root(list) : sign_by_vault(list);
}

std::vector<std::uint8_t> ListDesk::sign_by_root(const PartyList& list) {
    TokenSession token(config_, *config_.root_token);
    const auto root = token.keys().find(Use::root);
    if (!root || root->point != root_)
        throw EnrolmentRefused("token " + token.label() + " does not hold the root key of " + config_.root);
    return list_frame(fleet_id(), 0, root->key.get(), list);
}

std::vector<std::uint8_t> ListDesk::sign_by_vault(const PartyList& list) {
    VaultSession vault(config_);
    const auto self = vault.identity(fleet_id());
    const Party* own = lists_.fleet() != nullptr ? self.in(*lists_.fleet()) : nullptr;
    if (own == nullptr)
        throw EnrolmentRefused(in_words(Role::vault, self.name, self.location) +
                               " is not active in the fleet's list, with the keys of its token: it has to be "
                               "approved before it approves machines");
    return list_frame(fleet_id(), own->number, self.signing.key.get(), list);
}

void ListDesk::store(Whose whose) {
    store_list(lists_, *engine_, whose == Whose::fleet ? "" : location_of(config_));
}

}  // namespace stek::fleet
