// Which STEK seals and which opens: examples, and the rule itself over random rings.
#define BOOST_TEST_MODULE ring_choice
#include "sample_ring.hpp"

#include <algorithm>
#include <limits>
#include <tuple>

#include <boost/test/unit_test.hpp>

using namespace stek;
using stek::test::sample_record;
using stek::test::sample_ring;

namespace {

constexpr std::int64_t hour = 3600;

/// "epoch.revision", or "none".
std::string chosen(const RingRecord* record) {
    return record == nullptr ? "none"
                             : std::to_string(record->epoch) + "." + std::to_string(record->revision);
}

std::string sealing(const KeyRing& ring, std::int64_t now, unsigned stale = 2) {
    return chosen(sealing_record(ring, now, stale));
}

}  // namespace

BOOST_AUTO_TEST_CASE(seals_with_the_epoch_of_the_hour) {
    const KeyRing ring = sample_ring({{10, 0}, {11, 0}, {12, 0}});
    BOOST_TEST(sealing(ring, 10 * hour - 1) == "none");
    BOOST_TEST(sealing(ring, 10 * hour) == "10.0");
    BOOST_TEST(sealing(ring, 11 * hour - 1) == "10.0");
    BOOST_TEST(sealing(ring, 11 * hour) == "11.0");
    BOOST_TEST(sealing(ring, 12 * hour) == "12.0");
}

BOOST_AUTO_TEST_CASE(seals_with_the_latest_revision_once_it_begins) {
    KeyRing ring = sample_ring({{10, 0}, {10, 1}, {11, 0}});
    ring.records[1]->not_before = 10 * hour + 600;
    BOOST_TEST(sealing(ring, 10 * hour + 599) == "10.0");
    BOOST_TEST(sealing(ring, 10 * hour + 600) == "10.1");
}

BOOST_AUTO_TEST_CASE(late_rotation_stretches_by_stale_epochs_within_the_open_window) {
    const KeyRing ring = sample_ring({{10, 0}, {11, 0}});
    BOOST_TEST(sealing(ring, 12 * hour, 0) == "none");
    BOOST_TEST(sealing(ring, 13 * hour - 1, 1) == "11.0");
    BOOST_TEST(sealing(ring, 13 * hour, 1) == "none");
    BOOST_TEST(sealing(ring, 14 * hour - 1, 2) == "11.0");
    BOOST_TEST(sealing(ring, 14 * hour, 48) == "none");  // its open window ends there
}

BOOST_AUTO_TEST_CASE(a_clock_set_back_takes_the_key_of_that_time) {
    const KeyRing ring = sample_ring({{10, 0}, {11, 0}, {12, 0}});
    BOOST_TEST(sealing(ring, 10 * hour + 5) == "10.0");
    BOOST_TEST(sealing(ring, 0) == "none");
    BOOST_TEST(sealing(ring, -1) == "none");
}

BOOST_AUTO_TEST_CASE(extreme_times_do_not_overflow) {
    KeyRing ring = sample_ring({{10, 0}});
    ring.period = std::numeric_limits<std::uint64_t>::max();
    ring.records[0]->open_until = std::numeric_limits<std::int64_t>::max();
    constexpr auto last = std::numeric_limits<std::int64_t>::max();
    BOOST_TEST(sealing(ring, last - 1, 48) == "10.0");
    BOOST_TEST(sealing(ring, last, 48) == "none");
    ring.period = 1;
    ring.records[0]->seal_until = last - 1;
    BOOST_TEST(sealing(ring, last - 1, 48) == "10.0");
    BOOST_TEST(sealing(ring, std::numeric_limits<std::int64_t>::min(), 48) == "none");
}

BOOST_AUTO_TEST_CASE(opens_until_the_window_closes) {
    const KeyRing ring = sample_ring({{10, 0}, {11, 0}});
    const KeyName name = ring.records[0]->name;
    BOOST_TEST(chosen(opening_record(ring, name, 11 * hour + 7199)) == "10.0");
    BOOST_TEST(chosen(opening_record(ring, name, 11 * hour + 7200)) == "none");
    BOOST_TEST(chosen(opening_record(ring, name, 0)) == "10.0");  // a machine whose clock is behind
    KeyName other = name;
    other[15] ^= 1;
    BOOST_TEST(chosen(opening_record(ring, other, 10 * hour)) == "none");
    BOOST_TEST(chosen(opening_record(sample_ring({}), name, 10 * hour)) == "none");
}

BOOST_AUTO_TEST_CASE(a_revoked_record_neither_seals_nor_opens) {
    KeyRing ring = sample_ring({{10, 0}, {10, 1}});
    const KeyName revoked = ring.records[0]->name;
    ring.records.erase(ring.records.begin());
    BOOST_TEST(chosen(opening_record(ring, revoked, 10 * hour)) == "none");
    BOOST_TEST(sealing(ring, 10 * hour) == "10.1");
    ring.records.clear();
    BOOST_TEST(sealing(ring, 10 * hour) == "none");
}

// The rule of the header, written down a second time without any order or early end.
BOOST_AUTO_TEST_CASE(random_rings_follow_the_rule) {
    std::mt19937_64 random(7);
    const auto up_to = [&](std::int64_t most) { return static_cast<std::int64_t>(random() % (most + 1)); };
    unsigned current = 0;
    unsigned stale = 0;
    unsigned none = 0;
    for (unsigned round = 0; round < 20'000; ++round) {
        KeyRing ring;
        ring.period = static_cast<std::uint64_t>(1 + up_to(9));
        for (std::uint64_t epoch = 0; epoch < 5; ++epoch) {
            for (std::uint32_t revision = 0; revision < 2; ++revision) {
                if (random() % 2 == 0)
                    continue;
                auto record = sample_record(epoch, revision);
                record->not_before = up_to(40);
                record->seal_until = record->not_before + up_to(10);
                record->open_until = record->seal_until + up_to(20);
                ring.records.push_back(std::move(record));
            }
        }
        const std::int64_t now = up_to(70);
        const auto stale_epochs = static_cast<unsigned>(up_to(3));

        const auto later = [](const RingRecord* a, const RingRecord* b) {
            return a == nullptr ||
                   (b != nullptr && std::tie(a->epoch, a->revision) < std::tie(b->epoch, b->revision));
        };
        const RingRecord* best = nullptr;
        const RingRecord* begun = nullptr;
        for (const auto& record : ring.records) {
            if (record->not_before <= now && later(begun, record.get()))
                begun = record.get();
            if (record->not_before <= now && now < record->seal_until && later(best, record.get()))
                best = record.get();
        }
        const bool stretched =
            begun != nullptr && now < begun->open_until &&
            now < begun->seal_until + static_cast<std::int64_t>(stale_epochs * ring.period);
        const RingRecord* expected = best != nullptr ? best : stretched ? begun : nullptr;
        BOOST_TEST(sealing_record(ring, now, stale_epochs) == expected);
        ++(best != nullptr ? current : stretched ? stale : none);

        for (const auto& record : ring.records)
            BOOST_TEST(opening_record(ring, record->name, now) ==
                       (now < record->open_until ? record.get() : nullptr));
        // What is sealed with opens again at once.
        if (expected != nullptr)
            BOOST_TEST(opening_record(ring, expected->name, now) == expected);
    }
    BOOST_TEST(current > 0U);
    BOOST_TEST(stale > 0U);
    BOOST_TEST(none > 0U);
}

BOOST_AUTO_TEST_CASE(a_record_is_over_by_the_wall_clock_or_by_its_age) {
    auto record = sample_record(10);
    record->open_until = 1000;
    record->destroy_at = 50;
    BOOST_TEST(!is_over(*record, {999'999, 49'999}));
    BOOST_TEST(is_over(*record, {1'000'000, 0}));
    BOOST_TEST(is_over(*record, {0, 50'000}));
}

BOOST_AUTO_TEST_CASE(the_next_end_is_the_first_on_either_clock) {
    KeyRing ring = sample_ring({{10, 0}, {11, 0}});
    RingRecord& by_wall = *ring.records[0];
    RingRecord& by_age = *ring.records[1];
    by_wall.open_until = 1000;
    by_wall.destroy_at = 9000;
    by_age.open_until = 5000;
    by_age.destroy_at = 60;
    // Both clocks in milliseconds: the wall clock's end is told in the other's time.
    BOOST_TEST(next_end(ring, {999'250, 10'000}).value() == 10'750U);
    BOOST_TEST(next_end(ring, {900'000, 10'500}).value() == 60'000U);
    BOOST_TEST(next_end(ring, {900'000, 70'000}).value() == 70'000U);
    BOOST_TEST(!next_end(sample_ring({}), {0, 0}));
    // Far ends, and those that no clock will see, are a day away.
    by_wall.open_until = std::numeric_limits<std::int64_t>::max();
    by_wall.destroy_at = std::numeric_limits<std::uint64_t>::max();
    by_age.destroy_at = std::numeric_limits<std::uint64_t>::max();
    by_age.open_until = by_wall.open_until;
    BOOST_TEST(next_end(ring, {900'000, 1}).value() == 86'400'001U);
}

BOOST_AUTO_TEST_CASE(what_is_over_is_left_out_and_its_name_stays_known) {
    auto whole = std::make_shared<KeyRing>(sample_ring({{10, 0}, {11, 0}}));
    for (std::uint64_t i = 0; i < 2; ++i) {
        whole->records[i]->open_until = 1000;
        whole->records[i]->destroy_at = 100 + i;
    }
    const std::shared_ptr<const KeyRing> ring = whole;
    BOOST_TEST(without_those_over(ring, {999'999, 99'999}) == ring);
    const auto rest = without_those_over(ring, {999'999, 100'000});
    BOOST_REQUIRE(rest->records.size() == 1U);
    BOOST_TEST((rest->records[0]->name == ring->records[1]->name));
    BOOST_TEST(rest->generation == ring->generation);
    BOOST_TEST(is_known(*rest, ring->records[0]->name));
    const auto none = without_those_over(rest, {1'000'000, 0});
    BOOST_TEST(none->records.empty());
    for (const auto& record : ring->records)
        BOOST_TEST(is_known(*none, record->name));
    BOOST_TEST(!is_known(*none, KeyName{}));
}
