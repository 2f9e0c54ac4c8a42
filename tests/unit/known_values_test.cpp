// What a party may know of a NATS engine without asking, with the time passed in.
#define BOOST_TEST_MODULE known_values
#include "daemon/fleet/known_values.hpp"

#include "daemon/fleet/nats_access.hpp"

#include <boost/test/unit_test.hpp>

using namespace stek::fleet;
using namespace std::chrono_literals;

namespace {

using Names = std::vector<std::string>;

const std::string pair_1 = "$KV.b.pair.web-1.7", pair_2 = "$KV.b.pair.web-2.7",
                  record = "$KV.b.record.web-1.7.0";
const Names of_web_1{"$KV.b.machines", "$KV.b.pair.web-1.*", "$KV.b.record.web-1.*.*"};

struct Fixture {
    KnownValues known{1};
    KnownValues::Time now{1h};

    Fixture() { known.begin_hearing(of_web_1); }
    static Stored value(std::uint64_t sequence, std::size_t size = 3) {
        return {sequence, false, std::vector<std::uint8_t>(size, static_cast<std::uint8_t>(sequence))};
    }
    void read(const std::string& subject, const std::optional<Stored>& answer) {
        BOOST_TEST(!known.lags(subject, answer, now));
        known.remember(subject, answer, now);
    }
    /// The sequence that is remembered; 0: that nothing is there; -1: nothing is remembered.
    std::int64_t remembered(const std::string& subject) const {
        const auto* found = known.recall(subject);
        if (found == nullptr)
            return -1;
        return *found ? static_cast<std::int64_t>((*found)->sequence) : 0;
    }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(what_was_read_is_remembered_where_changes_are_told, Fixture) {
    BOOST_TEST(remembered(pair_1) == -1);
    read(pair_1, value(5));
    read(record, std::nullopt);
    read(pair_2, value(6));
    BOOST_TEST(remembered(pair_1) == 5);
    BOOST_TEST((known.recall(pair_1)->value().value == value(5).value));
    BOOST_TEST(remembered(record) == 0);
    BOOST_TEST(remembered(pair_2) == -1);  // another's
    known.end_hearing(of_web_1);
    BOOST_TEST(remembered(pair_1) == -1);
    read(pair_1, value(5));
    BOOST_TEST(remembered(pair_1) == -1);
}

// Two watches of one bucket: one may end.
BOOST_FIXTURE_TEST_CASE(what_two_hear_of_is_remembered_until_the_last_ends, Fixture) {
    known.begin_hearing({"$KV.b.>"});
    read(pair_1, value(5));
    read(pair_2, value(6));
    known.end_hearing({"$KV.b.>"});
    BOOST_TEST(remembered(pair_1) == 5);
    BOOST_TEST(remembered(pair_2) == -1);
}

BOOST_FIXTURE_TEST_CASE(a_change_is_news_and_forgotten, Fixture) {
    read(pair_1, value(5));
    read(record, std::nullopt);
    BOOST_TEST(!known.hear({pair_1, 5, false}, now));  // told after it was read
    BOOST_TEST(remembered(pair_1) == 5);
    BOOST_TEST(known.hear({pair_1, 8, false}, now));
    BOOST_TEST(remembered(pair_1) == -1);
    BOOST_TEST(known.hear({record, 9, false}, now));
    BOOST_TEST(remembered(record) == -1);
    // A bucket that was lost begins anew.
    read(pair_1, value(8));
    BOOST_TEST(known.hear({pair_1, 2, false}, now));
    BOOST_TEST(remembered(pair_1) == -1);
}

// Else a copy's old answer would be remembered, and nothing would be told of it any more.
BOOST_FIXTURE_TEST_CASE(an_older_answer_than_was_told_is_asked_for_again_and_never_remembered, Fixture) {
    BOOST_TEST(known.hear({pair_1, 8, false}, now));
    BOOST_TEST(known.lags(pair_1, value(5), now));
    BOOST_TEST(known.lags(pair_1, std::nullopt, now));
    BOOST_TEST(!known.lags(pair_1, value(8), now));
    BOOST_TEST(!known.lags(pair_1, value(9), now));
    now += KnownValues::longest_lag;
    read(pair_1, value(5));
    BOOST_TEST(remembered(pair_1) == -1);
    read(pair_1, std::nullopt);
    BOOST_TEST(remembered(pair_1) == -1);
    read(pair_1, value(9));
    BOOST_TEST(remembered(pair_1) == 9);
    BOOST_TEST(!known.hear({pair_1, 9, false}, now));
}

BOOST_FIXTURE_TEST_CASE(what_is_told_to_be_erased_is_known_and_need_not_be_on_any_copy, Fixture) {
    known.remember_subjects("$KV.b.pair.web-1.", {pair_1}, now);
    read(pair_1, value(5));
    BOOST_TEST(known.hear({pair_1, 6, true}, now));
    BOOST_TEST(remembered(pair_1) == 6);
    BOOST_TEST(known.recall(pair_1)->value().is_erased);
    BOOST_TEST(!known.lags(pair_1, std::nullopt, now));
    BOOST_TEST(known.recall_subjects("$KV.b.pair.web-1.")->empty());
    known.note_purged(pair_1);
    BOOST_TEST(remembered(pair_1) == 0);
    BOOST_TEST(!known.hear({pair_1, 6, true}, now));
    BOOST_TEST(known.hear({pair_1, 7, false}, now));
    BOOST_TEST((known.recall_subjects("$KV.b.pair.web-1.") == Names{pair_1}));
}

BOOST_FIXTURE_TEST_CASE(what_this_party_stores_is_known_and_no_news, Fixture) {
    known.note_own(pair_1, value(5), now);
    BOOST_TEST(remembered(pair_1) == 5);
    BOOST_TEST(known.sequence_of(pair_1) == 5U);
    BOOST_TEST(known.lags(pair_1, value(4), now));
    BOOST_TEST(!known.hear({pair_1, 5, false}, now));
    BOOST_TEST(remembered(pair_1) == 5);
    known.note_own(pair_1, {6, true, {}}, now);
    BOOST_TEST(!known.hear({pair_1, 6, true}, now));
    known.note_purged(pair_1);
    BOOST_TEST(remembered(pair_1) == 0);
    BOOST_TEST(!known.lags(pair_1, std::nullopt, now));
    // Where nothing is told it is only known to be there.
    known.note_own(pair_2, value(7), now);
    BOOST_TEST(remembered(pair_2) == -1);
    BOOST_TEST(known.lags(pair_2, std::nullopt, now));
}

// A machine's pair is the vault's to see, also when both are one process.
BOOST_FIXTURE_TEST_CASE(of_several_roles_each_hears_of_the_others, Fixture) {
    KnownValues shared(2);
    shared.begin_hearing(of_web_1);
    shared.note_own(pair_1, value(5), now);
    BOOST_TEST(shared.hear({pair_1, 5, false}, now));
    shared.remember(record, value(6), now);
    BOOST_TEST(shared.hear({record, 6, false}, now));
    BOOST_TEST((shared.recall(record) != nullptr));
}

// Another was first: something is there, whatever a copy says.
BOOST_FIXTURE_TEST_CASE(what_is_noted_is_forgotten_and_must_be_there, Fixture) {
    read(pair_1, std::nullopt);
    known.note_there(pair_1, now);
    BOOST_TEST(remembered(pair_1) == -1);
    BOOST_TEST(known.lags(pair_1, std::nullopt, now));
    read(pair_1, value(3));
    BOOST_TEST(remembered(pair_1) == 3);
    // Whoever came too late has not looked at what is there.
    known.unread(pair_1);
    BOOST_TEST(remembered(pair_1) == -1);
    BOOST_TEST(known.hear({pair_1, 3, false}, now));
    // Nor does it make less of what was told.
    BOOST_TEST(known.hear({pair_1, 8, false}, now));
    known.note_there(pair_1, now);
    BOOST_TEST(known.lags(pair_1, value(5), now));
}

BOOST_FIXTURE_TEST_CASE(lists_grow_by_what_is_told_and_stored, Fixture) {
    const std::string pairs = "$KV.b.pair.web-1.", records = "$KV.b.record.web-1.";
    BOOST_TEST(!known.recall_subjects(pairs));
    known.remember_subjects(pairs, {pair_1}, now);
    known.remember_subjects(records, {}, now);
    BOOST_TEST((known.recall_subjects(pairs) == Names{pair_1}));
    (void)known.hear({record, 3, false}, now);
    known.note_own(pairs + "8", value(4), now);
    BOOST_TEST((known.recall_subjects(pairs) == Names{pair_1, pairs + "8"}));
    BOOST_TEST((known.recall_subjects(records) == Names{record}));
    known.note_own(pairs + "8", {5, true, {}}, now);
    BOOST_TEST((known.recall_subjects(pairs) == Names{pair_1}));
    // Of more than this party is told of, nothing is known.
    known.remember_subjects("$KV.b.pair.", {pair_1}, now);
    BOOST_TEST(!known.recall_subjects("$KV.b.pair."));
    known.remember_subjects("$KV.b.", {pair_1}, now);
    BOOST_TEST(!known.recall_subjects("$KV.b."));
    known.end_hearing(of_web_1);
    BOOST_TEST(!known.recall_subjects(pairs));
}

BOOST_FIXTURE_TEST_CASE(who_looks_afresh_has_read_nothing_but_knows_what_he_stored, Fixture) {
    known.remember_subjects("$KV.b.record.web-1.", {record}, now);
    read(record, value(4));
    known.note_own(pair_1, value(5), now);
    known.forget(now);
    BOOST_TEST(remembered(record) == -1);
    BOOST_TEST(remembered(pair_1) == -1);
    BOOST_TEST(!known.recall_subjects("$KV.b.record.web-1."));
    BOOST_TEST(known.lags(pair_1, value(4), now));
    BOOST_TEST(!known.hear({pair_1, 5, false}, now));
    known.forget(now + 2 * KnownValues::longest_lag);
    BOOST_TEST(!known.lags(pair_1, value(4), now));
}

BOOST_FIXTURE_TEST_CASE(after_trouble_nothing_is_remembered_for_a_minute, Fixture) {
    read(pair_1, value(5));
    BOOST_TEST(known.note_trouble(now));
    BOOST_TEST(remembered(pair_1) == -1);
    read(pair_1, value(5));
    known.remember_subjects("$KV.b.pair.web-1.", {pair_1}, now);
    BOOST_TEST(remembered(pair_1) == -1);
    BOOST_TEST(!known.recall_subjects("$KV.b.pair.web-1."));
    // What is told is news then, whether it was read or not: the order of the two is not known.
    BOOST_TEST(known.hear({pair_1, 5, false}, now));
    known.note_own(pair_1, value(6), now);
    BOOST_TEST(!known.hear({pair_1, 6, false}, now));
    now += KnownValues::mistrust;
    read(pair_1, value(6));
    BOOST_TEST(remembered(pair_1) == -1);
    now += 1s;
    read(pair_1, value(6));
    BOOST_TEST(remembered(pair_1) == 6);
    // Said once more, it is the same trouble.
    BOOST_TEST(!known.note_trouble(KnownValues::Time(1h)));
    BOOST_TEST(remembered(pair_1) == 6);
}

// Somebody stores under one name after the other.
BOOST_FIXTURE_TEST_CASE(of_too_many_changes_nothing_is_kept, Fixture) {
    known.remember_subjects("$KV.b.pair.web-1.", {pair_1}, now);
    read(pair_1, value(5));
    for (std::size_t i = 0; i < KnownValues::most_told; ++i)
        (void)known.hear({"$KV.b.pair.web-1.x" + std::to_string(i), i + 10, false}, now);
    BOOST_TEST(remembered(pair_1) == 5);
    (void)known.hear({"$KV.b.pair.web-1.y", 9, false}, now);
    BOOST_TEST(remembered(pair_1) == -1);
    BOOST_TEST(!known.recall_subjects("$KV.b.pair.web-1."));
}

BOOST_FIXTURE_TEST_CASE(a_change_without_a_sequence_is_news, Fixture) {
    read(record, std::nullopt);
    BOOST_TEST(known.hear({record, 0, false}, now));
    BOOST_TEST(remembered(record) == -1);
}

BOOST_FIXTURE_TEST_CASE(no_more_is_remembered_than_a_location_needs, Fixture) {
    constexpr std::size_t size = std::size_t{2} << 20;
    std::uint64_t count = 0;
    for (std::uint64_t i = 1; i <= 40; ++i) {
        const auto subject = "$KV.b.pair.web-1." + std::to_string(i);
        read(subject, value(i, size));
        count += remembered(subject) == -1 ? 0 : 1;
    }
    BOOST_TEST(count == KnownValues::most_remembered / (size + 256));
    // What is forgotten makes room.
    (void)known.hear({"$KV.b.pair.web-1.1", 100, false}, now);
    read("$KV.b.pair.web-1.40", value(40, size));
    BOOST_TEST(remembered("$KV.b.pair.web-1.40") == 40);
    known.forget(now);
    read("$KV.b.pair.web-1.39", value(39, size));
    BOOST_TEST(remembered("$KV.b.pair.web-1.39") == 39);
}

BOOST_AUTO_TEST_CASE(a_bell_that_rang_for_too_much_says_so) {
    Bell bell;
    bell.ring_for({pair_1, 1, false});
    auto heard = bell.quiet();
    BOOST_TEST(heard.is_all);
    BOOST_TEST(heard.changes.size() == 1U);
    constexpr std::size_t flood = 100'000;
    for (std::size_t i = 0; i < flood; ++i)
        bell.ring_for({pair_1, i, false});
    heard = bell.quiet();
    BOOST_TEST(!heard.is_all);
    BOOST_TEST(heard.changes.size() < flood / 4);
    heard = bell.quiet();
    BOOST_TEST(heard.is_all);
    BOOST_TEST(heard.changes.empty());
    bell.ring();
    BOOST_TEST(!bell.quiet().is_all);
}

BOOST_AUTO_TEST_CASE(subjects_of_values_are_those_that_parties_store) {
    for (const auto& good : {pair_1, record, std::string("$KV.stek-fleet.list")}) {
        BOOST_TEST(subject::is_value(good), good);
        BOOST_TEST(subject::of_change("stek.changed." + good.substr(4)) == good);
    }
    const std::string long_key(256, 'k');
    for (const auto& bad :
         {std::string("$KV."), std::string("$KV.bucket"), std::string("$KV.bucket."), "$KV.b." + long_key,
          std::string("$KV.b.a..b"), std::string("$KV.b.a b"), std::string("$JS.b.a"), std::string()})
        BOOST_TEST(!subject::is_value(bad), bad);
    BOOST_TEST(!subject::is_value(subject::of_change("x")));
}
