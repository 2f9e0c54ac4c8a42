// What a location's vault decides, and what it remembers: without token, engine or clock.
#define BOOST_TEST_MODULE fleet_location_plan
#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/location_memory.hpp"
#include "daemon/fleet/location_plan.hpp"

#include <limits>
#include <numeric>

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::fleet;

namespace {

using Epochs = std::vector<std::uint64_t>;
constexpr std::uint64_t year = 8760;
const daemon::Policy hours{3600, 7200};

std::int64_t at(std::uint64_t epoch, std::int64_t second = 0) {
    return static_cast<std::int64_t>(epoch * 3600) + second;
}

VerifiedBundle bundle(std::uint64_t epoch, std::uint32_t revision = 0) {
    return {{epoch, revision}, at(epoch), at(epoch + 1)};
}

Epochs range(std::uint64_t first, std::size_t count) {
    Epochs epochs(count);
    std::iota(epochs.begin(), epochs.end(), first);
    return epochs;
}

std::string refusal(std::string_view text) {
    try {
        (void)decode_location_memory({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    } catch (const std::runtime_error& error) {
        return error.what();
    }
    return {};
}

}  // namespace

BOOST_AUTO_TEST_CASE(pre_keys_for_this_epoch_and_four_more) {
    auto plan = plan_pre_keys(1000, 1000, {}, {});
    BOOST_TEST(plan.make == range(1000, 5), boost::test_tools::per_element());
    BOOST_TEST(plan.destroy.empty());
    plan = plan_pre_keys(1001, 1000, 1003, range(1000, 5));
    BOOST_TEST(plan.make == Epochs{1005}, boost::test_tools::per_element());
    BOOST_TEST(plan.destroy.empty());  // the chain is still at 1000
    plan = plan_pre_keys(1001, 1001, 1003, range(1000, 6));
    BOOST_TEST(plan.make.empty());
    BOOST_TEST(plan.destroy == Epochs{1000}, boost::test_tools::per_element());
    BOOST_TEST(plan_pre_keys(0, 0, {}, {}).make == range(1, 4), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_wrong_clock_destroys_no_pre_key) {
    for (const std::uint64_t now :
         {std::uint64_t{0}, 100000 - year, 100000 + year, std::numeric_limits<std::uint64_t>::max() / 3600}) {
        const auto plan = plan_pre_keys(now, 100000, 100003, range(100000, 5));
        BOOST_TEST(plan.destroy.empty());
        BOOST_TEST(plan.make.size() == (now < 100000 ? 0U : 5U));
    }
}

BOOST_AUTO_TEST_CASE(pre_keys_of_a_wrong_clock_make_room_for_real_ones) {
    // A year ahead for 27 hours: no more are made than there is room for.
    auto there = range(1000, 5);
    for (std::uint64_t hour = 0; hour < 40; ++hour) {
        const auto plan = plan_pre_keys(1000 + year + hour, 1000, {}, there);
        BOOST_TEST(plan.destroy.empty());
        there.insert(there.end(), plan.make.begin(), plan.make.end());
        BOOST_TEST(there.size() <= most_pre_keys);
    }
    BOOST_TEST(there.size() == most_pre_keys);
    // The clock is put right.
    const auto plan = plan_pre_keys(1003, 1001, 1004, there);
    BOOST_TEST(plan.make == range(1005, 3), boost::test_tools::per_element());
    BOOST_TEST(plan.destroy.size() == 3U);
    BOOST_TEST(plan.destroy.front() == 1000U);
    BOOST_TEST(plan.destroy.at(1) == there.back());
    // Without a bundle nobody knows which are the wrong ones.
    BOOST_TEST(plan_pre_keys(1003, 1001, {}, there).destroy.size() == 1U);
    BOOST_TEST(plan_pre_keys(1003, 1001, {}, there).make.size() == 1U);
}

BOOST_AUTO_TEST_CASE(bundles_from_the_chain_s_epoch_to_four_after_now) {
    const std::vector<std::string> names{
        "1010.0", "1009.0",  "1003.1",  "1003.0", "1004.0", "999.0", "1005.0", "01003.0",
        "1003",   "1003.00", "1003.0x", "x.0",    "1003.",  ".0",    "-1.0",   "99999999999999999999999.0"};
    const std::vector<KeyId> expected{{1003, 0}, {1003, 1}, {1004, 0}, {1005, 0}, {1009, 0}};
    BOOST_TEST((bundles_of_interest(names, 1003, 1005) == expected));
    BOOST_TEST(bundles_of_interest(names, 2000, 1005).empty());
    BOOST_TEST(bundles_of_interest(names, 1003, std::numeric_limits<std::uint64_t>::max()).size() == 6U);
    std::vector<std::string> many;
    for (unsigned revision = 0; revision < 1000; ++revision)
        many.push_back("1003." + std::to_string(revision));
    const auto found = bundles_of_interest(many, 1003, 1005);
    BOOST_TEST(found.size() == most_revisions);
    BOOST_TEST(found.back().revision == most_revisions - 1);
}

BOOST_AUTO_TEST_CASE(a_window_is_its_epoch_s) {
    BOOST_TEST(refuse_window(bundle(1000), hours) == "");
    VerifiedBundle other = bundle(1000);
    other.not_before += 60;
    BOOST_TEST(refuse_window(other, hours) == "");
    other.not_after += 1;
    BOOST_TEST(refuse_window(other, hours) != "");
    BOOST_TEST(refuse_window(bundle(1000), {1800, 7200}) != "");
    BOOST_TEST(refuse_window({{1000, 0}, at(999), at(1000)}, hours) != "");
}

BOOST_AUTO_TEST_CASE(the_chain_moves_when_a_later_epoch_has_begun) {
    const std::vector<VerifiedBundle> some{bundle(1000), bundle(1001), bundle(1002), bundle(1003)};
    const auto moves = [&](std::uint64_t chain, std::int64_t now) {
        return plan_chain(chain, some, now, hours);
    };
    BOOST_TEST(!moves(1000, at(1000, 3599)).first);
    BOOST_TEST(!moves(1000, at(1000, 3599)).then);
    BOOST_TEST(!moves(1000, at(1001)).first);  // 1000 still opens: latecomers get it before the chain moves
    BOOST_TEST((moves(1000, at(1001)).then == 1001U));
    BOOST_TEST((moves(1000, at(1002, 5)).then == 1002U));
    BOOST_TEST(!moves(1002, at(1002, 5)).then);
    // Without the first bundle.
    const std::vector<VerifiedBundle> later{bundle(1003)};
    BOOST_TEST(!plan_chain(1000, later, at(1002), hours).then);
    BOOST_TEST((plan_chain(1000, later, at(1003), hours).first == 1003U));
}

BOOST_AUTO_TEST_CASE(a_chain_far_behind_moves_before_anything_is_derived) {
    for (const std::uint64_t off : {3U, 30U, 1000U, 100000U}) {
        const std::uint64_t now = 1000 + off;
        const std::vector<VerifiedBundle> some{bundle(now - 1), bundle(now), bundle(now + 1)};
        const auto moves = plan_chain(1000, some, at(now, 60), hours);
        BOOST_TEST((moves.first == now - 1));
        BOOST_TEST((moves.then == now));
    }
}

BOOST_AUTO_TEST_CASE(no_clock_moves_the_chain_beyond_the_newest_bundle) {
    const std::vector<VerifiedBundle> some{bundle(1000), bundle(1001), bundle(1002)};
    BOOST_TEST((plan_chain(1000, some, at(1000 + year), hours).then == 1002U));
    BOOST_TEST(!plan_chain(1000, some, at(1000 + year), hours).first);
    BOOST_TEST(!plan_chain(1000, some, 0, hours).then);
    BOOST_TEST(!plan_chain(1000, {}, at(1000 + year), hours).then);
}

BOOST_AUTO_TEST_CASE(the_true_time_is_not_before_what_bundles_say) {
    const std::vector<VerifiedBundle> some{bundle(1000), bundle(1001), bundle(1002), bundle(1003)};
    BOOST_TEST((earliest_time(some, at(1000, 60), hours, 3) == at(1000)));
    BOOST_TEST((earliest_time(some, at(1000 + year), hours, 3) == at(1000)));
    BOOST_TEST((earliest_time(some, at(900), hours, 3) == at(900)));
    BOOST_TEST(!earliest_time({}, at(900), hours, 3));
}

BOOST_AUTO_TEST_CASE(windows_of_records) {
    BOOST_TEST((record_window(bundle(1000), false, at(999), hours) == Window{at(1000), at(1001), at(1003)}));
    BOOST_TEST(
        (record_window(bundle(1000), false, at(1002, 3599), hours) == Window{at(1000), at(1001), at(1003)}));
    BOOST_TEST(!record_window(bundle(1000), false, at(1003), hours));
    // Another revision, made at 60 s; for an epoch ahead; made anew when it is over.
    BOOST_TEST((record_window(bundle(1000, 1), false, at(1000, 60), hours) ==
                Window{at(1000, 60), at(1001), at(1003)}));
    BOOST_TEST(
        (record_window(bundle(1001, 1), false, at(1000, 60), hours) == Window{at(1001), at(1002), at(1004)}));
    BOOST_TEST(
        (record_window(bundle(1000, 1), false, at(1001, 60), hours) == Window{at(1001), at(1001), at(1003)}));
    // What it supersedes.
    BOOST_TEST(
        (record_window(bundle(1000), true, at(1000, 60), hours) == Window{at(1000), at(1000, 60), at(1003)}));
    BOOST_TEST(
        (record_window(bundle(1000), true, at(1001, 60), hours) == Window{at(1000), at(1001), at(1003)}));
    BOOST_TEST(!record_window(bundle(1001), true, at(1000, 60), hours));
}

BOOST_AUTO_TEST_CASE(pairs_are_shared_for_short_periods) {
    BOOST_TEST(first_epoch_of_pair(1000, hours) == 1000U);
    BOOST_TEST(first_epoch_of_pair(1000, {600, 60}) == 1000U);
    for (const std::uint64_t period : {1U, 7U, 10U, 59U, 300U, 599U})
        for (std::uint64_t epoch = 100000; epoch < 101300; ++epoch) {
            const daemon::Policy policy{period, 60};
            const auto first = first_epoch_of_pair(epoch, policy);
            BOOST_REQUIRE(first <= epoch);
            BOOST_REQUIRE(policy.pair_slot(first) == policy.pair_slot(epoch));
            BOOST_REQUIRE(policy.pair_slot(first - 1) != policy.pair_slot(epoch));
            BOOST_REQUIRE(first_epoch_of_pair(first, policy) == first);
        }
}

BOOST_AUTO_TEST_CASE(names) {
    BOOST_TEST(record_key("web-1", {1000, 2}) == "record.web-1.1000.2");
    BOOST_TEST(pair_key("web-1", 1000) == "pair.web-1.1000");
    BOOST_TEST((key_of_record("record.web-1.1000.2") == KeyId{1000, 2}));
    for (const char* name :
         {"record.web-1.1000", "record..1000.2", "pair.web-1.1000.2", "record.", "record.a.1.2.3", ""})
        BOOST_TEST(!key_of_record(name), name);
}

BOOST_AUTO_TEST_CASE(the_memory_comes_back_as_it_was) {
    LocationMemory memory;
    BOOST_TEST((decode_location_memory(encode_memory(memory)) == memory));
    memory.counter = std::numeric_limits<std::uint64_t>::max();
    memory.pinned[{1000, 0}].fill(0xA5);
    memory.pinned[{std::numeric_limits<std::uint64_t>::max(), std::numeric_limits<std::uint32_t>::max()}]
        .fill(9);
    memory.revoked = {{1000, 0}, {1001, 7}};
    BOOST_TEST((decode_location_memory(encode_memory(memory)) == memory));
    const auto file = encode_memory(memory);
    for (std::size_t size = 0; size + 1 < file.size(); ++size)
        BOOST_CHECK_THROW(decode_location_memory(Bytes(file).first(size)), std::runtime_error);
}

BOOST_AUTO_TEST_CASE(what_is_no_memory_is_refused) {
    const std::string hash(64, 'a');
    const auto with = [](const std::string& pinned, const std::string& revoked,
                         const std::string& counter = "7") {
        return R"({"version":1,"counter":)" + counter + R"(,"pinned":[)" + pinned + R"(],"revoked":[)" +
               revoked + "]}";
    };
    const auto pin = [](const std::string& hash_text) {
        return R"({"epoch":1,"revision":0,"hash":")" + hash_text + R"("})";
    };
    BOOST_TEST(refusal(with(pin(hash), R"({"epoch":1,"revision":0})")) == "");
    for (const std::string& bad :
         {std::string(),
          std::string("[]"),
          std::string("{}"),
          std::string("null"),
          with(pin(hash) + "," + pin(hash), ""),
          with(pin(hash.substr(1)), ""),
          with(pin(std::string(64, 'A')), ""),
          with(pin(std::string(64, 'g')), ""),
          with("7", ""),
          with("", "7"),
          with("", R"({"epoch":1,"revision":0},{"epoch":1,"revision":0})"),
          with("", R"({"epoch":1})"),
          with("", R"({"epoch":1,"revision":4294967296})"),
          with("", R"({"epoch":-1,"revision":0})"),
          with("", R"({"epoch":1.0,"revision":0})"),
          with("", R"({"epoch":1,"epoch":2,"revision":0})"),
          with("", R"({"epoch":1,"revision":0,"more":0})"),
          with("", "", "-1"),
          with("", "", "\"7\""),
          with("", "", "1e3"),
          with("", "", "18446744073709551616"),
          std::string(R"({"version":2,"counter":7,"pinned":[],"revoked":[]})"),
          std::string(R"({"version":1,"counter":7,"pinned":{},"revoked":[]})"),
          std::string(R"({"version":1,"pinned":[],"revoked":[]})"),
          with("", "") + "x",
          std::string(R"({"version":1,"counter":7,"counter":8,"pinned":[],"revoked":[]})")})
        BOOST_TEST(refusal(bad) != "", bad);
}
