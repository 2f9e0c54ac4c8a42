#include "tests/fleet/forger.hpp"

#include "daemon/fleet/engine_keys.hpp"

namespace stek::tests {

using namespace fleet;

std::vector<InEngine> all_in(Engine& engine, const std::vector<std::string>& locations) {
    std::vector<InEngine> all;
    const auto add = [&](const std::string& bucket, const std::string& prefix, Kind kind) {
        for (const auto& key : engine.list(bucket, prefix))
            all.push_back({bucket, key, kind});
    };
    add(bucket::fleet, "list", Kind::list);
    add(bucket::hourly, "", Kind::bundle);
    add(bucket::pre_keys, "", Kind::pre_key);
    for (const auto& location : locations) {
        const auto bucket = bucket::of_location(location);
        add(bucket, "machines", Kind::list);
        add(bucket, all_pairs, Kind::pair);
        add(bucket, all_records, Kind::record);
    }
    return all;
}

Frame signed_by(const Forger& forger, Kind kind, const Frame& frame) {
    const Bytes body = Bytes(frame).subspan(frame_head_size, frame.size() - frame_overhead);
    // The signer's number is the last of the head.
    PartyNumber signer = 0;
    for (std::size_t i = frame_head_size - 4; i < frame_head_size; ++i)
        signer = signer << 8 | frame.at(i);
    return make_frame({kind, forger.fleet, forger.number.value_or(signer)}, body,
                      [&](Bytes bytes) { return sign_with(forger.key, bytes); });
}

Identity PartyTokens::identity(const FleetId& fleet) const {
    if (const auto& origin = config_.origin)
        return identity_of(*tokens_.origin(), fleet, Role::origin, origin->name, "");
    if (const auto& vault = config_.location)
        return identity_of(*tokens_.location(), fleet, Role::vault, vault->vault, vault->name);
    const auto& machine = *config_.machine;
    return identity_of(*tokens_.machine(), fleet, Role::machine, machine.name, machine.location);
}

}  // namespace stek::tests
