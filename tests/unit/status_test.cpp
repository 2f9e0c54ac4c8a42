// The three faces of a status, from a made-up one; and what a ring looks like at each moment.
#define BOOST_TEST_MODULE status
#include "status_sample.hpp"

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::daemon;
using stek::test::sample_status;

namespace {

void has(const std::string& text, const std::string& part) {
    BOOST_TEST(text.find(part) != std::string::npos, "no \"" << part << "\" in\n" << text);
}

KeyRing ring_of(std::uint64_t first, unsigned count) {
    KeyRing ring;
    for (std::uint64_t epoch = first; epoch < first + count; ++epoch) {
        auto record = std::make_unique<RingRecord>();
        record->epoch = epoch;
        record->not_before = static_cast<std::int64_t>(epoch) * 3600;
        record->seal_until = record->not_before + 3600;
        record->open_until = record->seal_until + 7200;
        ring.records.push_back(std::move(record));
    }
    return ring;
}

}  // namespace

BOOST_AUTO_TEST_CASE(durations_read_at_a_glance) {
    BOOST_TEST(duration_text(-5) == "0 s");
    BOOST_TEST(duration_text(95) == "95 s");
    BOOST_TEST(duration_text(41 * 60 + 59) == "41 min");
    BOOST_TEST(duration_text(5 * 3600 + 12 * 60) == "5 h 12 min");
    BOOST_TEST(duration_text(3 * 3600) == "3 h");
    BOOST_TEST(duration_text(3 * 86400 + 4 * 3600) == "3 d 4 h");
}

BOOST_AUTO_TEST_CASE(the_table_has_all_that_matters) {
    auto status = sample_status();
    const auto table = status_table(status);
    for (const char* part :
         {"fra1, a key every 60 min", "stekd is process 4711, up 3 d 2 h, ready; 76 rotations, 1 failed",
          "next epoch in 41 min", "pkcs11:token=vault, open, chain at epoch 500000",
          "pkcs11:token=ticket, serial 0123abcd", "generation 77", "500000.0", "sealing", "41 min",
          "begins in 41 min", "2027-01-15 08:00 - 09:00", "3 attached",
          "1,234,567 sealed, 1,000 opened, 999 renewed", "12 foreign", "16 measured"})
        has(table, part);
    BOOST_TEST(table.find("PROBLEM") == std::string::npos);
    status.weaknesses = {"C_CopyObject"};
    status.problems = {"no key seals now"};
    status.daemon = 0;
    has(status_table(status), "WARNING: the ticket token is weak, it does not refuse: C_CopyObject\n");
    has(status_table(status), "PROBLEM: no key seals now\n");
    has(status_table(status), "stekd is not running");
}

BOOST_AUTO_TEST_CASE(metrics_are_in_base_units_and_buckets_add_up) {
    const auto text = status_prometheus(sample_status());
    for (const char* line :
         {"stekd_info{location=\"fra1\"} 1\n", "stekd_seal_until_timestamp_seconds 1800007200\n",
          "stekd_last_rotation_timestamp_seconds 1800000000\n", "stekd_rotations_total 76\n",
          "stekd_failures_total 1\n", "stekd_tokens_open 1\n", "stekd_chain_lag_epochs 0\n",
          "stekd_workers 3\n", "stekd_ring_records{state=\"sealing\"} 1\n",
          "stekd_tickets_total{result=\"sealed\"} 1234567\n",
          "stekd_tickets_total{result=\"declined\",reason=\"foreign\"} 12\n",
          "stekd_ticket_latency_seconds_bucket{le=\"5e-06\"} 10\n",
          "stekd_ticket_latency_seconds_bucket{le=\"1\"} 15\n",
          "stekd_ticket_latency_seconds_bucket{le=\"+Inf\"} 16\n", "stekd_ticket_latency_seconds_sum 1.5\n",
          "stekd_ticket_latency_seconds_count 16\n"})
        has(text, line);
}

BOOST_AUTO_TEST_CASE(seal_until_goes_over_records_that_follow_each_other) {
    const auto ring = ring_of(100, 3);
    const auto at = [&](std::int64_t now) { return status_of(ring, {now, 0}, 2); };
    BOOST_TEST(at(100 * 3600).seal_until == 103 * 3600);
    BOOST_TEST(at(99 * 3600).seal_until == 0);  // none yet
    BOOST_TEST(at(104 * 3600).seal_until == 103 * 3600);
    BOOST_CHECK(at(100 * 3600).records[0].state == RecordState::sealing);
    BOOST_CHECK(at(100 * 3600).records[1].state == RecordState::prepared);
    BOOST_CHECK(at(102 * 3600).records[0].state == RecordState::opening);
    BOOST_CHECK(at(103 * 3600 + 60).records[2].state == RecordState::stale);
    BOOST_TEST(at(103 * 3600 + 60).records[2].seconds_left == 7200 - 60);
    BOOST_CHECK(at(106 * 3600).records[2].state == RecordState::expired);
}

BOOST_AUTO_TEST_CASE(a_gap_ends_what_can_be_sealed) {
    auto ring = ring_of(100, 3);
    ring.records.erase(ring.records.begin() + 1);
    BOOST_TEST(status_of(ring, {100 * 3600, 0}, 2).seal_until == 101 * 3600);
}
