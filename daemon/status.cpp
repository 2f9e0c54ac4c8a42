#include "daemon/status.hpp"

#include "daemon/exit_codes.hpp"
#include "daemon/rotation.hpp"
#include "daemon/state.hpp"
#include "provider/counters.hpp"

#include <ctime>
#include <iomanip>
#include <iostream>

#include <nlohmann/json.hpp>

namespace stek::daemon {
namespace {

using nlohmann::json;

const char* state_of(const RingRecord& record, const RingRecord* sealing, std::int64_t now) {
    if (&record == sealing)
        return "sealing";
    if (now < record.not_before)
        return "prepared";
    return now < record.open_until ? "opening" : "expired";
}

json key_to_json(const RingRecord& record, const RingRecord* sealing, const Now& now) {
    const std::string state = state_of(record, sealing, now.wall);
    const auto until = state == "prepared"  ? record.not_before
                       : state == "sealing" ? record.seal_until
                                            : record.open_until;
    const auto destroy_in = record.destroy_at > now.boot ? record.destroy_at - now.boot : 0;
    return {{"epoch", record.epoch},           {"revision", record.revision},
            {"name", hex(record.name)},        {"state", state},
            {"not_before", record.not_before}, {"seal_until", record.seal_until},
            {"open_until", record.open_until}, {"seconds_left", std::max<std::int64_t>(until - now.wall, 0)},
            {"destroyed_in", destroy_in},      {"pair", hex(record.pair)}};
}

json counters_to_json(const CounterTotals& totals) {
    json declined = json::object();
    for (unsigned i = 0; i < totals.declined.size() && i < static_cast<unsigned>(Decline::count_); ++i)
        declined[decline_name(static_cast<Decline>(i))] = totals.declined[i];
    return {{"processes", totals.processes},
            {"sealed", totals.sealed},
            {"opened", totals.opened},
            {"renewed", totals.renewed},
            {"token_errors", totals.token_errors},
            {"declined", declined},
            {"latency_us", {{"bounds", latency_bounds_us}, {"counts", totals.latency}}}};
}

json gather(const Config& config) {
    const auto now = read_clocks();
    json out{{"location", config.location},
             {"period", config.policy.period},
             {"session_timeout", config.policy.session_timeout},
             {"now", now.wall},
             {"daemon", StateDirectory::holder(config.state)},
             {"tokens",
              {{"vault", {{"uri", config.vault.text()}}},
               {"ticket", {{"uri", config.ticket.text()}, {"private_pairs", config.private_pairs}}}}},
             {"keys", json::array()},
             {"problems", json::array()}};
    try {
        const auto state = StateDirectory::peek(config.state);
        out["tokens"]["ticket"]["serial"] = state.token_serial;
        out["tokens"]["ticket"]["weaknesses"] = state.weaknesses;
    } catch (const std::exception& error) {
        out["problems"].push_back(error.what());
    }
    try {
        const auto ring = read_ring_file(config.keyring);
        if (ring) {
            out["generation"] = ring->generation;
            out["written_at"] = ring->written_at;
            const auto* sealing = sealing_record(*ring, now.wall, config.stale_epochs);
            for (const auto& record : ring->records)
                out["keys"].push_back(key_to_json(*record, sealing, now));
            if (sealing == nullptr)
                out["problems"].push_back("no key seals now");
        } else {
            out["problems"].push_back("there is no key ring at " + config.keyring);
        }
    } catch (const std::exception& error) {
        out["problems"].push_back(error.what());
    }
    try {
        if (!config.stats.empty())
            out["counters"] = counters_to_json(collect_counters(config.stats, false));
    } catch (const std::exception& error) {
        out["problems"].push_back(error.what());
    }
    return out;
}

std::string clock_text(std::int64_t at) {
    const std::time_t seconds = at;
    std::tm parts{};
    char text[32] = "?";
    if (gmtime_r(&seconds, &parts) != nullptr)
        std::strftime(text, sizeof text, "%F %T", &parts);
    return text;
}

void print_text(const json& status) {
    const auto& ticket = status["tokens"]["ticket"];
    std::cout << "location " << status["location"].get<std::string>() << ", a key every " << status["period"]
              << " s, open for " << status["session_timeout"] << " s more; "
              << (status["daemon"] == 0 ? std::string("stekd is not running")
                                        : "stekd is process " + status["daemon"].dump())
              << "\nvault   " << status["tokens"]["vault"]["uri"].get<std::string>() << "\nticket  "
              << ticket["uri"].get<std::string>();
    if (ticket.contains("serial"))
        std::cout << ", serial " << ticket["serial"].get<std::string>();
    std::cout << "\n\nKEY          NAME                              STATE     SEALS FROM           UNTIL    "
                 "            LEFT\n";
    for (const auto& key : status["keys"]) {
        const auto id = key["epoch"].dump() + "." + key["revision"].dump();
        std::cout << std::left << std::setw(12) << id << ' ' << key["name"].get<std::string>() << "  "
                  << std::setw(9) << key["state"].get<std::string>() << ' '
                  << clock_text(key["not_before"].get<std::int64_t>()) << "  "
                  << clock_text(key["seal_until"].get<std::int64_t>()) << "  " << key["seconds_left"].dump()
                  << " s\n";
    }
    if (status.contains("counters")) {
        const auto& counters = status["counters"];
        std::cout << "\ntickets: " << counters["sealed"] << " sealed, " << counters["opened"] << " opened, "
                  << counters["renewed"] << " renewed, in " << counters["processes"] << " processes; "
                  << counters["token_errors"] << " token errors\n";
        for (const auto& [reason, count] : counters["declined"].items())
            if (count != 0)
                std::cout << "declined, " << reason << ": " << count << '\n';
    }
    if (ticket.contains("weaknesses"))
        for (const auto& weakness : ticket["weaknesses"])
            std::cout << "WARNING: the ticket token is weak, it does not refuse: "
                      << weakness.get<std::string>() << '\n';
    for (const auto& problem : status["problems"])
        std::cout << "PROBLEM: " << problem.get<std::string>() << '\n';
}

}  // namespace

int print_status(const Config& config, bool as_json) {
    const auto status = gather(config);
    if (as_json)
        std::cout << status.dump(2) << '\n';
    else
        print_text(status);
    return status["problems"].empty() ? exit_ok : exit_findings;
}

}  // namespace stek::daemon
