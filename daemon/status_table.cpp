#include "daemon/columns.hpp"
#include "daemon/state.hpp"
#include "daemon/status.hpp"

#include <algorithm>
#include <ctime>
#include <numeric>
#include <sstream>

namespace stek::daemon {
namespace {

constexpr std::int64_t minute = 60, hour = 60 * minute, day = 24 * hour;

std::string clock_text(std::int64_t at, const char* format) {
    const std::time_t seconds = at;
    std::tm parts{};
    char text[64];
    if (gmtime_r(&seconds, &parts) == nullptr || std::strftime(text, sizeof text, format, &parts) == 0)
        return "?";
    return text;
}

std::string key_text(KeyId key) {
    return std::to_string(key.epoch) + "." + std::to_string(key.revision);
}

// "1,234,567": counts of tickets are long.
std::string count_text(std::uint64_t count) {
    auto text = std::to_string(count);
    for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3)
        text.insert(static_cast<std::size_t>(at), 1, ',');
    return text;
}

std::string daemon_text(const Status& status) {
    if (!status.daemon)
        return "not known whether stekd runs";
    if (*status.daemon == 0)
        return "stekd is not running";
    auto text = "stekd is process " + std::to_string(*status.daemon);
    if (!status.health)
        return text;
    const auto& health = *status.health;
    text += ", up " + duration_text(status.now.wall - health.started_at);
    text += health.ready ? ", ready; " : ", NOT READY; ";
    text += count_text(health.rotations) + " rotations, " + count_text(health.failures) + " failed";
    if (health.next_edge > status.now.wall)
        text += "; next epoch in " + duration_text(health.next_edge - status.now.wall);
    return text;
}

std::string vault_text(const Status& status) {
    auto text = status.vault_uri.empty() ? "none here" : status.vault_uri;
    if (!status.health)
        return text;
    text += status.health->tokens_open ? ", open" : ", NOT OPEN";
    if (status.health->chain)
        text += ", chain at epoch " + std::to_string(status.health->chain->epoch);
    if (status.health->chain_lag > 0)
        text += ", " + count_text(status.health->chain_lag) + " BEHIND";
    return text;
}

std::string ticket_text(const Status& status) {
    return (status.ticket_uri.empty() ? "none here" : status.ticket_uri) +
           (status.ticket_serial.empty() ? "" : ", serial " + status.ticket_serial);
}

std::string ring_text(const Status& status) {
    if (!status.ring)
        return "none";
    const auto& ring = *status.ring;
    auto text = "generation " + std::to_string(ring.generation) + ", " + std::to_string(ring.records.size()) +
                " keys, written " + duration_text(status.now.wall - ring.written_at) + " ago";
    if (ring.seal_until > status.now.wall)
        text += "; it can seal for " + duration_text(ring.seal_until - status.now.wall);
    return text;
}

Row record_row(const RecordStatus& record, const char* clock) {
    const auto begin_day = clock_text(record.not_before, "%F ");
    const auto time = [&](std::int64_t at) {
        const auto day_of = clock_text(at, "%F ");
        return (day_of == begin_day ? std::string() : day_of) + clock_text(at, clock);
    };
    const auto left = duration_text(record.seconds_left);
    return {key_text(record.key),
            hex(record.name),
            name_of(record.state),
            begin_day + clock_text(record.not_before, clock) + " - " + time(record.seal_until),
            time(record.open_until),
            record.state == RecordState::prepared ? "begins in " + left : left};
}

void write_records(std::ostream& out, const Status& status) {
    if (!status.ring || status.ring->records.empty())
        return;
    const auto* clock = status.policy.period % minute == 0 ? "%H:%M" : "%T";
    std::vector<Row> rows{{"KEY", "NAME", "STATE", "SEALS (UTC)", "OPENS UNTIL", "TIME LEFT"}};
    for (const auto& record : status.ring->records)
        rows.push_back(record_row(record, clock));
    out << '\n';
    write_columns(out, rows);
}

// The bound of the bucket in which 99 % are reached.
std::string latency_text(const CounterTotals& counters) {
    const auto all = std::accumulate(counters.latency.begin(), counters.latency.end(), std::uint64_t{0});
    if (all == 0)
        return "nothing measured yet";
    std::uint64_t seen = 0;
    std::size_t bucket = 0;
    for (; bucket < counters.latency.size(); ++bucket)
        if ((seen += counters.latency[bucket]) * 100 >= all * 99)
            break;
    const auto mean = counters.latency_sum_ns / all;
    std::string text =
        "mean " + std::to_string(mean / 1000) + "." + std::to_string(mean / 100 % 10) + " us, ";
    return text +
           (bucket < std::size(latency_bounds_us)
                ? "99 % within " + count_text(latency_bounds_us[bucket]) + " us"
                : "1 % above " + count_text(*std::rbegin(latency_bounds_us)) + " us") +
           " (" + count_text(all) + " measured)";
}

std::string declined_text(const CounterTotals& counters) {
    std::string text;
    for (std::size_t why = 0; why < counters.declined.size(); ++why)
        if (counters.declined[why] != 0)
            text += (text.empty() ? "" : ", ") + count_text(counters.declined[why]) + " " +
                    decline_name(static_cast<Decline>(why));
    return text.empty() ? "none" : text;
}

void write_counters(std::ostream& out, const CounterTotals& counters) {
    out << '\n';
    write_columns(out, {{"workers", count_text(counters.processes) + " attached"},
                        {"tickets", count_text(counters.sealed) + " sealed, " + count_text(counters.opened) +
                                        " opened, " + count_text(counters.renewed) + " renewed"},
                        {"declined", declined_text(counters)},
                        {"latency", latency_text(counters)},
                        {"token errors", count_text(counters.token_errors)}});
}

}  // namespace

std::string duration_text(std::int64_t seconds) {
    const auto two = [](std::int64_t large, const char* large_unit, std::int64_t small,
                        const char* small_unit) {
        return std::to_string(large) + large_unit +
               (small == 0 ? "" : " " + std::to_string(small) + small_unit);
    };
    seconds = std::max<std::int64_t>(seconds, 0);
    if (seconds < 2 * minute)
        return std::to_string(seconds) + " s";
    if (seconds < 2 * hour)
        return std::to_string(seconds / minute) + " min";
    if (seconds < 2 * day)
        return two(seconds / hour, " h", seconds % hour / minute, " min");
    return two(seconds / day, " d", seconds % day / hour, " h");
}

std::string status_table(const Status& status) {
    std::ostringstream out;
    const auto period = static_cast<std::int64_t>(status.policy.period);
    const auto timeout = static_cast<std::int64_t>(status.policy.session_timeout);
    write_columns(out, {{"location", status.location + ", a key every " + duration_text(period) +
                                         ", opening for " + duration_text(timeout) + " more"},
                        {"daemon", daemon_text(status)},
                        {"vault", vault_text(status)},
                        {"ticket token", ticket_text(status)},
                        {"key ring", ring_text(status)}});
    write_records(out, status);
    if (status.counters)
        write_counters(out, *status.counters);
    if (!status.weaknesses.empty() || !status.problems.empty())
        out << '\n';
    for (const auto& weakness : status.weaknesses)
        out << "WARNING: the ticket token is weak, it does not refuse: " << weakness << '\n';
    for (const auto& problem : status.problems)
        out << "PROBLEM: " << problem << '\n';
    return out.str();
}

}  // namespace stek::daemon
