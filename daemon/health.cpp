#include "daemon/health.hpp"

#include <nlohmann/json.hpp>

namespace stek::daemon {

using nlohmann::json;

json health_to_json(const Health& health) {
    json chain;
    if (health.chain)
        chain = {{"index", health.chain->index}, {"epoch", health.chain->epoch}};
    return {{"started_at", health.started_at}, {"ready", health.ready},
            {"trouble", health.trouble},       {"rotations", health.rotations},
            {"failures", health.failures},     {"last_rotation", health.last_rotation},
            {"next_edge", health.next_edge},   {"chain", chain},
            {"chain_lag", health.chain_lag},   {"tokens_open", health.tokens_open}};
}

Health health_from_json(const json& in) {
    Health health;
    in.at("started_at").get_to(health.started_at);
    in.at("ready").get_to(health.ready);
    in.at("trouble").get_to(health.trouble);
    in.at("rotations").get_to(health.rotations);
    in.at("failures").get_to(health.failures);
    in.at("last_rotation").get_to(health.last_rotation);
    in.at("next_edge").get_to(health.next_edge);
    in.at("chain_lag").get_to(health.chain_lag);
    in.at("tokens_open").get_to(health.tokens_open);
    if (const auto& chain = in.at("chain"); !chain.is_null())
        health.chain =
            ChainPosition{chain.at("index").get<std::uint64_t>(), chain.at("epoch").get<std::uint64_t>()};
    return health;
}

}  // namespace stek::daemon
