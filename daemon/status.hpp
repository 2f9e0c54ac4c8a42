// How a location is doing: gathered from ring, state, counters and the running stekd; shown as a table, as
// JSON or as metrics. The tokens are not touched.
#pragma once

#include "daemon/config.hpp"
#include "daemon/health.hpp"
#include "daemon/plan.hpp"
#include "provider/counters.hpp"

#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace stek::daemon {

enum class RecordState {
    prepared,  ///< its time will come
    sealing,   ///< servers seal with it
    stale,     ///< they seal with it beyond its window, for rotation is late
    opening,   ///< opens older tickets
    expired,   ///< about to be destroyed
};
inline constexpr std::size_t record_states = 5;
const char* name_of(RecordState state) noexcept;

/// Times are Unix seconds.
struct RecordStatus {
    KeyId key;
    KeyName name{};
    PairId pair{};
    RecordState state = RecordState::expired;
    std::int64_t not_before = 0, seal_until = 0, open_until = 0;
    std::int64_t seconds_left = 0;   ///< in this state; never negative
    std::uint64_t destroyed_in = 0;  ///< seconds of CLOCK_BOOTTIME
};

struct RingStatus {
    std::uint64_t generation = 0;
    std::int64_t written_at = 0;
    /// Up to when its keys seal with no gap from now on, stale ones left out; not after now if none does.
    std::int64_t seal_until = 0;
    std::vector<RecordStatus> records;  ///< by epoch and revision
};

struct Status {
    Now now;
    std::string location;
    Policy policy;
    unsigned stale_epochs = 0;
    std::string vault_uri, ticket_uri;
    bool private_pairs = true;
    std::string ticket_serial;            ///< empty: stekd has seen none, or its state may not be read
    std::vector<std::string> weaknesses;  ///< what the ticket token did not refuse
    std::optional<pid_t> daemon;          ///< 0: it does not run; nothing: its state may not be read
    std::optional<Health> health;         ///< nothing: not heard
    std::optional<RingStatus> ring;       ///< nothing: there is none that can be read
    std::optional<CounterTotals> counters;
    std::vector<std::string> problems;  ///< each fit to be shown; empty: all is well
};

/// What stekd says of itself, or why it did not.
struct Heard {
    std::optional<Health> health;
    std::string problem;  ///< empty: none, or there was nobody to ask
};

/// Asks a running stekd, for 5 s at most.
Heard hear_stekd(const Config& config);

/// Never throws for what is missing or broken: that is told in `problems`.
Status gather_status(const Config& config, const Heard& heard);
/// The same from a ring that is at hand.
RingStatus status_of(const KeyRing& ring, const Now& now, unsigned stale_epochs);

std::string status_table(const Status& status);       ///< for people, many lines
std::string status_json(const Status& status);        ///< docs/status.schema.json describes it
std::string status_prometheus(const Status& status);  ///< text exposition format 0.0.4

/// "95 s", "41 min", "5 h 12 min", "3 d 4 h"; rounded down.
std::string duration_text(std::int64_t seconds);

}  // namespace stek::daemon
