// The rotation plan, case by case.
#define BOOST_TEST_MODULE plan
#include "plan_world.hpp"

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::daemon;
using stek::test::PlanWorld;

namespace {

constexpr std::int64_t hour = 3600;
// Half past an hour.
constexpr Now start{500'000 * hour + 1800, 5000};

PlanWorld settled() {
    PlanWorld world(1, Policy{});
    world.now = start;
    world.run();
    BOOST_TEST(world.violations.empty());
    return world;
}

void move(PlanWorld& world, std::int64_t seconds) {
    world.now.wall += seconds;
    world.now.boot += static_cast<std::uint64_t>(seconds);
}

template <class T>
std::size_t count(const Plan& plan) {
    return static_cast<std::size_t>(
        std::count_if(plan.actions.begin(), plan.actions.end(),
                      [](const auto& a) { return std::holds_alternative<T>(a); }));
}

}  // namespace

BOOST_AUTO_TEST_CASE(first_start_makes_chain_pairs_and_two_records) {
    const auto world = settled();
    BOOST_TEST(world.ring.size() == 2U);
    BOOST_TEST(world.token_pairs.size() == 2U);
    BOOST_TEST(world.chain->epoch == 500'000U);
    BOOST_TEST(world.chain->index == 0U);
    BOOST_TEST(world.ring[0].not_before == 500'000 * hour);
    BOOST_TEST(world.ring[0].seal_until == 500'001 * hour);
    BOOST_TEST(world.ring[0].open_until == 500'003 * hour);
    BOOST_TEST(world.ring[0].destroy_at == 5000U + 1800 + 7200 + 1);
    BOOST_TEST(world.alarms.empty());
}

BOOST_AUTO_TEST_CASE(the_current_record_is_published_before_the_next_is_prepared) {
    PlanWorld world(1, Policy{});
    const auto plan = daemon::plan(start, world.policy, world.seen());
    std::vector<std::size_t> kinds;
    for (const auto& action : plan.actions)
        kinds.push_back(action.index());
    const std::vector<std::size_t> wanted{0, 1, 2, 4,
                                          1, 2, 4};  // chain, pair, derive, publish, the same again
    BOOST_TEST(kinds == wanted, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(at_rest_nothing_is_done_and_the_next_edge_is_known) {
    const auto world = settled();
    const auto plan = daemon::plan(start, world.policy, world.seen());
    BOOST_TEST(plan.actions.empty());
    BOOST_TEST(plan.next_edge == 500'001 * hour);
    BOOST_TEST(plan.next_destruction.value() == 5000U + 1800 + 7200 + 1);
}

BOOST_AUTO_TEST_CASE(an_edge_advances_one_step_and_prepares_one_record) {
    auto world = settled();
    move(world, 1800);
    BOOST_TEST(world.seals(world.now.wall));  // with nobody's help
    const auto plan = daemon::plan(world.now, world.policy, world.seen());
    BOOST_TEST(count<Derive>(plan) == 1U);
    BOOST_TEST(std::get<Advance>(plan.actions.front()).steps == 1U);
    world.run();
    BOOST_TEST(world.chain->index == 1U);
    BOOST_TEST(world.chain->epoch == 500'001U);
}

BOOST_AUTO_TEST_CASE(a_record_and_its_pair_go_when_their_time_is_over) {
    auto world = settled();
    const auto first = world.ring[0];
    for (int i = 0; i < 4; ++i) {
        move(world, hour);
        world.run();
    }
    BOOST_TEST(std::none_of(world.ring.begin(), world.ring.end(),
                            [&](const auto& record) { return record.key == first.key; }));
    BOOST_TEST(!world.token_pairs.contains(first.pair));
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(a_clock_that_jumps_forward_destroys_nothing_and_gets_a_key_at_once) {
    auto world = settled();
    const auto before = world.ring;
    world.now.wall += 10LL * 365 * 86400;
    world.run();
    for (const auto& record : before)
        BOOST_TEST(std::any_of(world.ring.begin(), world.ring.end(),
                               [&](const auto& r) { return r.key == record.key; }));
    BOOST_TEST(world.seals(world.now.wall));
    BOOST_TEST(world.chain->index == Policy::jump_steps);
    // And back: the old records seal again; no new key is made for the epoch that has one.
    world.now = start;
    const auto derived = world.derived;
    world.run();
    BOOST_TEST(world.derived == derived);
    BOOST_TEST(world.seals(world.now.wall));
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(a_clock_set_back_gets_a_key_at_once_and_never_an_old_name) {
    auto world = settled();
    world.now.wall -= 100 * hour;
    world.run();
    BOOST_TEST(world.seals(world.now.wall));
    BOOST_TEST(world.chain->epoch == 500'000U - 100);
    BOOST_TEST(world.ring.back().key.revision > 0U);  // below the highest epoch that was ever used
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(a_lost_ring_is_replaced_under_the_next_revision) {
    auto world = settled();
    world.lose_ring();
    world.run();
    BOOST_TEST(world.seals(world.now.wall));
    BOOST_TEST((world.ring[0].key == KeyId{500'000, 1}));
    BOOST_TEST((world.ring[1].key == KeyId{500'001, 2}));
    BOOST_TEST(world.chain->index == 0U);
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(a_lost_chain_key_is_made_anew_with_an_alarm) {
    auto world = settled();
    world.chain.reset();
    world.run();
    BOOST_TEST(world.alarms.size() == 1U);
    BOOST_TEST(world.chain->index == 2U);  // above all indices before
    BOOST_TEST(world.ring.size() == 2U);   // the ring has what it needs
}

BOOST_AUTO_TEST_CASE(a_lost_state_costs_the_public_keys_and_no_name_comes_back) {
    auto world = settled();
    world.memory = {};
    move(world, hour);
    world.run();
    BOOST_TEST(world.seals(world.now.wall + hour));
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(pairs_that_nobody_knows_are_destroyed_as_strays) {
    auto world = settled();
    world.token_pairs.insert(PairId{1, 2, 3});
    world.run();
    BOOST_TEST(world.strays == 1U);
    BOOST_TEST(world.token_pairs.size() == 2U);
}

BOOST_AUTO_TEST_CASE(records_whose_pair_is_gone_are_replaced) {
    auto world = settled();
    world.token_pairs.clear();
    world.run();
    BOOST_TEST(world.ring.size() == 2U);
    BOOST_TEST(world.ring[0].key.revision == 1U);
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(a_ring_of_another_boot_does_not_live_by_that_boots_clock) {
    auto world = settled();
    for (auto& record : world.ring)
        record.destroy_at += 1'000'000;
    world.reboot_with_ring(5000);
    world.run();
    BOOST_TEST(world.ring.size() == 2U);
    BOOST_TEST(world.ring[0].destroy_at == 5000U + 1800 + 7200 + 1);
}

BOOST_AUTO_TEST_CASE(short_periods_prepare_ten_seconds_and_share_pairs) {
    PlanWorld world(1, Policy{1, 5});
    world.now = {1'800'000'000, 50};
    world.run();
    BOOST_TEST(world.ring.size() == 11U);
    BOOST_TEST(world.token_pairs.size() == 1U);
    for (int second = 0; second < 1300; ++second) {
        move(world, 1);
        BOOST_TEST(world.seals(world.now.wall));
        world.run();
        BOOST_TEST(world.token_pairs.size() <= 2U);
        BOOST_TEST(world.ring.size() <= world.policy.records_alive());
    }
    BOOST_TEST(world.violations.empty());
}

// Numbers mean other times after a change of period.
BOOST_AUTO_TEST_CASE(a_record_with_the_right_number_and_another_window_does_not_count) {
    const auto world = settled();
    for (const int shift : {0, 1}) {
        auto seen = world.seen();
        for (auto& record : seen.ring)
            (shift == 0 ? record.not_before : record.seal_until) -= 1;
        BOOST_TEST(count<Derive>(daemon::plan(world.now, world.policy, seen)) == 2U);
    }
}

BOOST_AUTO_TEST_CASE(a_changed_period_leaves_old_records_and_makes_new_ones) {
    for (const std::uint64_t period : {60, 86400}) {
        auto world = settled();
        world.policy.period = period;
        world.run();
        BOOST_TEST(world.seals(world.now.wall));
        BOOST_TEST(world.ring.size() == 4U);
        BOOST_TEST(world.violations.empty());
    }
}

BOOST_AUTO_TEST_CASE(a_full_ring_gives_up_what_ends_first_and_says_so) {
    auto world = settled();
    for (int i = 0; i < 200; ++i) {
        world.now.wall += 10 * hour;
        world.run();
        BOOST_TEST(world.seals(world.now.wall));
    }
    BOOST_TEST(world.ring.size() == max_ring_records);
    BOOST_TEST(world.alarms.size() == 1U);
    BOOST_TEST(world.violations.empty());
}

// What is made a second before an edge ends before all that the full ring holds.
BOOST_AUTO_TEST_CASE(a_full_ring_never_gives_up_the_key_that_seals_now) {
    auto world = settled();
    for (int i = 0; i < 200; ++i) {
        world.now.wall += 10 * hour;
        world.run();
    }
    world.now.wall += 10 * hour + 1799;
    const auto derived = world.derived;
    world.run();
    BOOST_TEST(world.derived == derived + 2);
    BOOST_TEST(world.seals(world.now.wall));
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(with_an_origin_only_keys_at_hand_are_used_and_the_chain_is_not_run_ahead) {
    PlanWorld world(1, Policy{});
    world.now = start;
    world.chain = ChainPosition{499'998, 499'998};
    world.chains_made = 1;
    world.hourly = {false, {}};
    world.run();
    BOOST_TEST(world.ring.empty());
    BOOST_TEST(world.chain->epoch == 499'998U);
    BOOST_TEST(world.alarms.size() == 1U);
}

BOOST_AUTO_TEST_CASE(with_an_origin_index_and_epoch_are_one) {
    PlanWorld world(1, Policy{});
    world.now = start;
    world.chain = ChainPosition{499'900, 499'900};
    world.hourly = {false, {{500'000, 0}, {500'001, 0}}};
    world.run();
    BOOST_TEST(world.ring.size() == 2U);
    BOOST_TEST((*world.chain == ChainPosition{500'000, 500'000}));
    world.hourly.at_hand.push_back({500'000, 1});
    world.run();
    BOOST_TEST(world.ring.size() == 3U);
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(with_an_origin_a_lost_chain_key_is_not_made_here) {
    auto world = settled();
    world.chain.reset();
    world.hourly = {false, {{500'000, 0}, {500'001, 1}}};
    move(world, hour);
    world.run();
    BOOST_TEST(!world.chain);
    BOOST_TEST(world.derived == 2U);
    BOOST_TEST(world.seals(world.now.wall));  // what is in the ring stays
    BOOST_TEST(world.alarms.size() == 1U);
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(with_an_origin_a_chain_key_that_is_weeks_behind_catches_up_in_parts) {
    PlanWorld world(1, Policy{1, 5});
    const auto epoch = world.epoch();
    world.chain = ChainPosition{epoch - 3'000'000, epoch - 3'000'000};
    world.hourly = {false, {{epoch, 0}}};
    world.run();
    BOOST_TEST((*world.chain == ChainPosition{epoch, epoch}));
    BOOST_TEST(world.seals(world.now.wall));
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(with_an_origin_a_key_ahead_that_is_out_of_reach_waits_for_its_time) {
    PlanWorld world(1, Policy{});
    world.now = start;
    world.chain = ChainPosition{490'000, 490'000};
    world.hourly = {false, {{500'001, 0}}};
    world.run();
    BOOST_TEST(world.ring.empty());
    move(world, hour);
    world.run();
    BOOST_TEST((world.sealing(world.now.wall) == KeyId{500'001, 0}));
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(revisions_do_not_wrap) {
    Memory memory;
    memory.reserve({7, 0xffffffffU});
    BOOST_CHECK_THROW(static_cast<void>(memory.next(7)), std::overflow_error);
    BOOST_TEST((memory.next(8) == KeyId{8, 0}));
}

BOOST_AUTO_TEST_CASE(a_chain_that_is_far_behind_what_was_counted_catches_up) {
    for (const std::uint64_t gap : {5000U, 2'000'000U}) {
        auto world = settled();
        *world.memory.highest_index += gap;
        world.memory.index_epoch -= 1;
        move(world, 1000 * hour);
        world.run();
        BOOST_TEST(world.violations.empty());
        BOOST_TEST(world.seals(world.now.wall));
        BOOST_TEST(world.chain->index > gap);
        BOOST_TEST(world.alarms.size() == 1U);
    }
}

BOOST_AUTO_TEST_CASE(expired_pairs_go_before_anything_that_a_full_disk_can_stop) {
    auto world = settled();
    move(world, 100 * hour);
    const auto plan = daemon::plan(world.now, world.policy, world.seen());
    std::size_t destroyed = 0;
    for (const auto& action : plan.actions) {
        if (std::holds_alternative<Retire>(action))
            continue;
        if (!std::holds_alternative<DestroyPair>(action))
            break;
        ++destroyed;
    }
    BOOST_TEST(destroyed == 2U);
}

BOOST_AUTO_TEST_CASE(before_1970_only_what_has_expired_goes) {
    auto world = settled();
    world.now.wall = -5;
    BOOST_TEST(daemon::plan(world.now, world.policy, world.seen()).actions.empty());
    world.now.boot += 100 * 3600;
    world.run();
    BOOST_TEST(world.token_pairs.empty());
    BOOST_TEST(world.derived == 2U);
    BOOST_TEST(world.violations.empty());
}

// A clock that jumps five hours on, a kill before the chain gets there, and the clock is set right: the index
// that was used for then must not come again when the chain comes by on its way.
BOOST_AUTO_TEST_CASE(no_index_comes_again_after_a_jump_that_was_cut_short) {
    auto world = settled();
    world.now.wall += 5 * hour;
    world.die_after = 4;  // a pair and a key are made, nothing is published
    BOOST_CHECK_THROW(world.run(), stek::test::Killed);
    BOOST_TEST(world.derived == 3U);
    BOOST_TEST((*world.chain == ChainPosition{0, 500'000}));
    world.now.wall = start.wall;
    for (int epochs = 0; epochs < 20; ++epochs) {
        world.run();
        BOOST_TEST((world.violations.empty() && world.seals(world.now.wall)));
        move(world, hour);
    }
}
