// A made-up status with something of everything.
#pragma once

#include "daemon/status.hpp"

namespace stek::test {

inline daemon::Status sample_status() {
    using namespace stek::daemon;
    daemon::Status status;
    status.now = {1'800'001'140, 5000};  // 19 minutes into its hour
    status.location = "fra1";
    status.policy = {.period = 3600, .session_timeout = 7200};
    status.stale_epochs = 2;
    status.vault_uri = "pkcs11:token=vault";
    status.ticket_uri = "pkcs11:token=ticket";
    status.private_pairs = false;
    status.ticket_serial = "0123abcd";
    status.daemon = 4711;
    status.health = Health{.started_at = 1'800'001'140 - 266'400,
                           .ready = true,
                           .trouble = "",
                           .rotations = 76,
                           .failures = 1,
                           .last_rotation = 1'800'000'000,
                           .next_edge = 1'800'003'600,
                           .chain = ChainPosition{77, 500'000},
                           .chain_lag = 0,
                           .tokens_open = true};
    RingStatus ring{
        .generation = 77, .written_at = 1'800'000'000, .seal_until = 1'800'007'200, .records = {}};
    const auto add = [&](std::uint64_t epoch, RecordState state, std::int64_t left) {
        const auto from = static_cast<std::int64_t>(epoch) * 3600;
        RecordStatus record{.key = {epoch, 0},
                            .name = {},
                            .pair = {},
                            .state = state,
                            .not_before = from,
                            .seal_until = from + 3600,
                            .open_until = from + 10800,
                            .seconds_left = left,
                            .destroyed_in = static_cast<std::uint64_t>(left) + 100};
        record.name.fill(static_cast<std::uint8_t>(epoch));
        ring.records.push_back(record);
    };
    add(499'999, RecordState::opening, 6060);
    add(500'000, RecordState::sealing, 2460);
    add(500'001, RecordState::prepared, 2460);
    status.ring = std::move(ring);
    CounterTotals counters;
    counters.sealed = 1'234'567;
    counters.opened = 1000;
    counters.renewed = 999;
    counters.token_errors = 2;
    counters.processes = 3;
    counters.declined.assign(static_cast<std::size_t>(Decline::count_), 0);
    counters.declined[static_cast<std::size_t>(Decline::foreign)] = 12;
    counters.latency.assign(std::size(latency_bounds_us) + 1, 0);
    counters.latency[0] = 10;
    counters.latency[2] = 5;
    counters.latency.back() = 1;
    counters.latency_sum_ns = 1'500'000'000;
    status.counters = counters;
    return status;
}

}  // namespace stek::test
