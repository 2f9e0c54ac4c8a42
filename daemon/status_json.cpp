#include "daemon/state.hpp"
#include "daemon/status.hpp"

#include <nlohmann/json.hpp>

namespace stek::daemon {
namespace {

using nlohmann::ordered_json;

ordered_json to_json(const RecordStatus& record) {
    return {{"epoch", record.key.epoch},
            {"revision", record.key.revision},
            {"name", hex(record.name)},
            {"state", name_of(record.state)},
            {"not_before", record.not_before},
            {"seal_until", record.seal_until},
            {"open_until", record.open_until},
            {"seconds_left", record.seconds_left},
            {"destroyed_in", record.destroyed_in},
            {"pair", hex(record.pair)}};
}

ordered_json to_json(const CounterTotals& totals) {
    auto declined = ordered_json::object();
    for (std::size_t why = 0; why < totals.declined.size(); ++why)
        declined[decline_name(static_cast<Decline>(why))] = totals.declined[why];
    return {{"processes", totals.processes},
            {"sealed", totals.sealed},
            {"opened", totals.opened},
            {"renewed", totals.renewed},
            {"token_errors", totals.token_errors},
            {"declined", declined},
            {"latency_us", {{"bounds", latency_bounds_us}, {"counts", totals.latency}}},
            {"latency_sum_ns", totals.latency_sum_ns}};
}

}  // namespace

std::string status_json(const Status& status) {
    ordered_json out{{"location", status.location},
                     {"period", status.policy.period},
                     {"session_timeout", status.policy.session_timeout},
                     {"stale_epochs", status.stale_epochs},
                     {"now", status.now.wall},
                     {"daemon", nullptr},
                     {"health", nullptr},
                     {"tokens",
                      {{"vault", {{"uri", status.vault_uri}}},
                       {"ticket",
                        {{"uri", status.ticket_uri},
                         {"private_pairs", status.private_pairs},
                         {"serial", status.ticket_serial},
                         {"weaknesses", status.weaknesses}}}}},
                     {"generation", nullptr},
                     {"written_at", nullptr},
                     {"seal_until", nullptr},
                     {"keys", ordered_json::array()},
                     {"counters", nullptr},
                     {"problems", status.problems}};
    if (status.daemon)
        out["daemon"] = *status.daemon;
    if (status.health)
        out["health"] = health_to_json(*status.health);
    if (status.ring) {
        out["generation"] = status.ring->generation;
        out["written_at"] = status.ring->written_at;
        out["seal_until"] = status.ring->seal_until;
        for (const auto& record : status.ring->records)
            out["keys"].push_back(to_json(record));
    }
    if (status.counters)
        out["counters"] = to_json(*status.counters);
    // What a token or a file says need not be UTF-8; a status must not fail for that.
    return out.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace stek::daemon
