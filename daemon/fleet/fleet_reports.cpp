// What a fleet party's stekd says of itself: STATUS=, `stekctl status` and the metrics.
#include "daemon/clocks.hpp"
#include "daemon/fleet/fleet_process.hpp"
#include "daemon/headline.hpp"

#include <nlohmann/json.hpp>

namespace stek::fleet {

using nlohmann::json;

std::string FleetWork::headline() const {
    std::string text;
    const auto add = [&](const std::string& part) { text += (text.empty() ? "" : "; ") + part; };
    if (!parties_)
        return "starting";
    if (const auto* ring = parties_->ring())
        add(daemon::headline(*ring, daemon::read_clocks().wall, config_.stale_epochs));
    if (const auto* location = parties_->location())
        add("location " + config_.location->name + ": e=" + std::to_string(location->report().last_epoch) +
            ", " + std::to_string(location->report().machines) + " machines");
    if (const auto* origin = parties_->origin())
        add("origin: bundles up to e=" + std::to_string(origin->report().newest_epoch));
    if (!state_.weaknesses.empty())
        add("the ticket token is weak");
    return text;
}

std::string FleetWork::what_is_ready() const {
    std::string roles;
    const auto add = [&](bool there, const char* role) {
        if (there)
            roles += (roles.empty() ? "" : ", ") + std::string(role);
    };
    add(config_.origin.has_value(), "origin");
    add(config_.location.has_value(), "location");
    add(config_.machine.has_value(), "machine, the key ring is in place");
    return roles;
}

// Origins and vaults have all they need on this host; a machine, once it has a ring for its servers.
bool FleetWork::is_ready_all_the_same() const noexcept {
    return engine_is_away_ && parties_ && (!config_.machine || parties_->ring() != nullptr);
}

std::vector<daemon::WatchedFile> FleetWork::must_stay() const {
    std::vector<daemon::WatchedFile> files;
    if (config_.machine)
        files.push_back({config_.machine->keyring, true, {}});
    if (tokens_)
        for (const auto& directory : tokens_->directories())
            files.push_back({directory + "/token.object", false, {}});  // each login writes to it
    return files;
}

void FleetWork::report(daemon::Health& health) const {
    health.rotations = published_;
    health.last_rotation = last_published_;
    health.tokens_open = tokens_ != nullptr;
    const auto epoch = parties_ ? parties_->chain_epoch() : std::nullopt;
    health.chain = epoch ? std::optional(ChainPosition{*epoch, *epoch}) : std::nullopt;
    const auto current = config_.policy.epoch_at(daemon::read_clocks().wall);
    health.chain_lag = epoch && *epoch < current ? current - *epoch : 0;
}

void FleetWork::add_to_status(json& reply) const {
    json fleet = json::object();
    if (!parties_)
        return;
    if (const auto* origin = parties_->origin())
        fleet["origin"] = {{"name", config_.origin->name},
                           {"newest_epoch", origin->report().newest_epoch},
                           {"without_pre_key", origin->report().without_pre_key.size()}};
    if (const auto* location = parties_->location())
        fleet["location"] = {{"name", config_.location->name},
                             {"vault", config_.location->vault},
                             {"last_epoch", location->report().last_epoch},
                             {"machines", location->report().machines},
                             {"pre_keys_left", location->report().pre_keys_left}};
    if (parties_->machine() != nullptr)
        fleet["machine"] = {{"name", config_.machine->name}, {"location", config_.machine->location}};
    reply["fleet"] = std::move(fleet);
}

}  // namespace stek::fleet
