// How stekd itself is doing: what neither ring nor counters tell.
#pragma once

#include "provider/vault.hpp"

#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace stek::daemon {

/// Times are Unix seconds; counts are since the daemon's start.
struct Health {
    std::int64_t started_at = 0;
    bool ready = false;              ///< a ring has been in place since the start
    std::string trouble;             ///< what keeps it from working now; empty: nothing
    std::uint64_t rotations = 0;     ///< rings published
    std::uint64_t failures = 0;      ///< runs that ended in trouble
    std::int64_t last_rotation = 0;  ///< when the ring was last published; 0: not since the start
    std::int64_t next_edge = 0;      ///< when the next epoch begins
    std::optional<ChainPosition> chain;
    std::uint64_t chain_lag = 0;  ///< epochs that the chain is behind the clock
    bool tokens_open = false;
};

/// As the control socket answers {"do": "status"}: the fields by their names; "chain" may be null.
nlohmann::json health_to_json(const Health& health);
/// Throws nlohmann::json::exception if a field is missing or of a wrong type.
Health health_from_json(const nlohmann::json& in);

}  // namespace stek::daemon
