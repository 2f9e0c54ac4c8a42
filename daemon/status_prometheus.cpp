#include "daemon/status.hpp"

#include <charconv>
#include <initializer_list>
#include <string_view>
#include <utility>

namespace stek::daemon {
namespace {

// https://prometheus.io/docs/instrumenting/exposition_formats/
class Exposition {
  public:
    using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

    void family(std::string_view name, std::string_view type, std::string_view help) {
        name_ = name;
        text_.append("# HELP ").append(name).append(" ").append(help).append("\n");
        text_.append("# TYPE ").append(name).append(" ").append(type).append("\n");
    }
    template <class Number>
    void sample(Number value, Labels labels = {}, std::string_view suffix = {}) {
        text_.append(name_).append(suffix);
        const char* separator = "{";
        for (const auto& [label, what] : labels) {
            text_.append(separator).append(label).append("=\"").append(escaped(what)).append("\"");
            separator = ",";
        }
        text_.append(labels.size() == 0 ? " " : "} ").append(number(value)).append("\n");
    }
    template <class Number>
    void gauge(std::string_view name, std::string_view help, Number value) {
        family(name, "gauge", help);
        sample(value);
    }
    void counter(std::string_view name, std::string_view help, std::uint64_t value) {
        family(name, "counter", help);
        sample(value);
    }
    [[nodiscard]] std::string take() { return std::move(text_); }

    /// Independent of the locale, unlike a stream.
    template <class Number>
    static std::string number(Number value) {
        char digits[32];
        const auto end = std::to_chars(std::begin(digits), std::end(digits), value).ptr;
        return {digits, end};
    }

  private:
    static std::string escaped(std::string_view value) {
        std::string out;
        for (const char c : value) {
            if (c == '\\' || c == '"')
                out += '\\';
            out += c == '\n' ? std::string("\\n") : std::string(1, c);
        }
        return out;
    }

    std::string_view name_;
    std::string text_;
};

void write_daemon(Exposition& out, const Status& status) {
    if (status.daemon)
        out.gauge("stekd_running", "Whether a stekd holds the state directory.", *status.daemon != 0 ? 1 : 0);
    if (!status.health)
        return;
    const auto& health = *status.health;
    out.gauge("stekd_start_time_seconds", "Unix time at which stekd started.", health.started_at);
    out.gauge("stekd_ready", "Whether a ring has been in place since the start.", health.ready ? 1 : 0);
    out.gauge("stekd_in_trouble", "Whether something keeps stekd from working now.",
              health.trouble.empty() ? 0 : 1);
    out.counter("stekd_rotations_total", "Key rings published since the start.", health.rotations);
    out.counter("stekd_failures_total", "Runs that ended in trouble since the start.", health.failures);
    out.gauge("stekd_next_epoch_timestamp_seconds", "Unix time at which the next epoch begins.",
              health.next_edge);
    out.gauge("stekd_tokens_open", "Whether vault and ticket token are open.", health.tokens_open ? 1 : 0);
    if (health.chain)
        out.gauge("stekd_chain_epoch", "Epoch that the chain key is for.", health.chain->epoch);
    out.gauge("stekd_chain_lag_epochs", "Epochs that the chain is behind the clock.", health.chain_lag);
}

void write_ring(Exposition& out, const Status& status) {
    out.gauge("stekd_ring_present", "Whether there is a key ring that can be read.", status.ring ? 1 : 0);
    if (!status.ring)
        return;
    const auto& ring = *status.ring;
    out.gauge("stekd_seal_until_timestamp_seconds",
              "Unix time up to which the ring's keys seal without a gap; past where none does.",
              ring.seal_until);
    // The ring's own time, which a restart of stekd keeps.
    out.gauge("stekd_last_rotation_timestamp_seconds", "Unix time at which the ring was last published.",
              ring.written_at);
    out.gauge("stekd_ring_generation", "Generation counter of the key ring.", ring.generation);
    out.family("stekd_ring_records", "gauge", "Keys in the ring by state.");
    for (std::size_t state = 0; state < record_states; ++state) {
        std::uint64_t count = 0;
        for (const auto& record : ring.records)
            count += static_cast<std::size_t>(record.state) == state ? 1 : 0;
        out.sample(count, {{"state", name_of(static_cast<RecordState>(state))}});
    }
}

void write_latency(Exposition& out, const CounterTotals& counters) {
    out.family("stekd_ticket_latency_seconds", "histogram",
               "Time that sealing or opening took in the token; one ticket in eight is measured.");
    std::uint64_t count = 0;
    for (std::size_t bucket = 0; bucket < counters.latency.size(); ++bucket) {
        count += counters.latency[bucket];
        const auto bound = bucket < std::size(latency_bounds_us)
                               ? Exposition::number(static_cast<double>(latency_bounds_us[bucket]) / 1e6)
                               : std::string("+Inf");
        out.sample(count, {{"le", bound}}, "_bucket");
    }
    out.sample(static_cast<double>(counters.latency_sum_ns) / 1e9, {}, "_sum");
    out.sample(count, {}, "_count");
}

void write_counters(Exposition& out, const CounterTotals& counters) {
    out.gauge("stekd_workers", "Server processes with the provider attached that live.", counters.processes);
    out.family("stekd_tickets_total", "counter",
               "Tickets by what became of them: sealed, opened, or declined for a reason.");
    out.sample(counters.sealed, {{"result", "sealed"}});
    out.sample(counters.opened, {{"result", "opened"}});
    for (std::size_t why = 0; why < counters.declined.size(); ++why)
        out.sample(counters.declined[why],
                   {{"result", "declined"}, {"reason", decline_name(static_cast<Decline>(why))}});
    // Not a result of its own: these tickets are among the opened, and sum() over results is to be true.
    out.counter("stekd_tickets_renewed_total", "Tickets for which the client was given a new one.",
                counters.renewed);
    out.counter("stekd_token_errors_total", "Errors of the ticket token that servers met.",
                counters.token_errors);
    write_latency(out, counters);
}

}  // namespace

std::string status_prometheus(const Status& status) {
    Exposition out;
    out.family("stekd_info", "gauge", "The location that this stekd makes keys for; always 1.");
    out.sample(1, {{"location", status.location}});
    out.gauge("stekd_written_timestamp_seconds", "Unix time at which these metrics were taken.",
              status.now.wall);
    out.gauge("stekd_period_seconds", "Length of an epoch.", status.policy.period);
    out.gauge("stekd_session_timeout_seconds", "How long a key opens tickets after it has stopped sealing.",
              status.policy.session_timeout);
    write_daemon(out, status);
    if (!status.ticket_serial.empty())  // else it is not known
        out.gauge("stekd_ticket_token_weaknesses",
                  "Attempts that the ticket token did not refuse as it must.", status.weaknesses.size());
    write_ring(out, status);
    if (status.counters)
        write_counters(out, *status.counters);
    return out.take();
}

}  // namespace stek::daemon
