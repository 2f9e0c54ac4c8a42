// The plan's invariants whatever happens. Each has a name: PlanWorld checks those that hold at every action,
// PlanAtRest those that hold at rest.
#define BOOST_TEST_MODULE plan_property
#include "plan_chaos.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

namespace data = boost::unit_test::data;
using namespace stek;
using namespace stek::daemon;
using stek::test::Chaos;
using stek::test::HourlyKeysFrom;
using stek::test::Killed;
using stek::test::PlanAtRest;
using stek::test::PlanWorld;

namespace {

const Policy policies[] = {{1, 5}, {7, 20}, {600, 7200}, {3600, 7200}, {3600, 64800}};

void check(PlanWorld& world) {
    PlanAtRest::check(world);
    for (const auto& violated : world.violations)
        BOOST_ERROR(violated);
    world.violations.clear();
}

// Seeds with many events and seeds with few, which get further on one chain.
double restlessness(int seed) {
    return seed % 3 == 0 ? 0.05 : 0.4;
}

void live_through_anything(int seed, HourlyKeysFrom source) {
    for (const auto& policy : policies) {
        Chaos chaos(static_cast<std::uint64_t>(seed), policy, source);
        for (int round = 0; round < 40; ++round) {
            chaos.pass_time(seed % 3 == 0 ? 1 : 2);
            if (chaos.chance(restlessness(seed)))
                chaos.something_happens();
            chaos.run(0.15);
            check(chaos.world);
        }
        if (source == HourlyKeysFrom::itself)  // an origin's keys may all come too late
            BOOST_TEST(chaos.world.derived > 10U);
    }
}

}  // namespace

BOOST_DATA_TEST_CASE(anything_may_happen_to_a_location_that_makes_its_own_keys, data::xrange(400), seed) {
    live_through_anything(seed, HourlyKeysFrom::itself);
}

BOOST_DATA_TEST_CASE(anything_may_happen_to_a_location_with_an_origin, data::xrange(300), seed) {
    live_through_anything(seed, HourlyKeysFrom::origin);
}

BOOST_AUTO_TEST_CASE(on_a_steady_clock_index_and_epoch_go_together) {
    Chaos chaos(1, Policy{3600, 7200});
    chaos.world.run();
    const auto offset = chaos.world.chain->epoch - chaos.world.chain->index;
    for (int quarter = 0; quarter < 400; ++quarter) {
        chaos.pass(900);
        BOOST_TEST(chaos.world.seals(chaos.world.now.wall), "servers switch at the edge by themselves");
        try {
            chaos.world.run(0.1);
        } catch (const Killed&) {
            chaos.world.run();
        }
        check(chaos.world);
        BOOST_TEST(chaos.world.chain->epoch - chaos.world.chain->index == offset);
        BOOST_TEST(chaos.world.ring.size() <= chaos.world.policy.records_alive());
    }
}

// A location wakes when the plan says and at no other time.
BOOST_DATA_TEST_CASE(waking_when_the_plan_says_is_enough, data::xrange(std::size(policies)), which) {
    const auto& policy = policies[which];
    Chaos chaos(1, policy);
    auto& world = chaos.world;
    world.run();
    for (int wakes = 0; wakes < 200; ++wakes) {
        const auto plan = daemon::plan(world.now, policy, world.seen());
        const auto destruction = static_cast<std::int64_t>(*plan.next_destruction - world.now.boot);
        const auto sleep = std::min(plan.next_edge - world.now.wall, destruction);
        BOOST_REQUIRE(sleep > 0);
        chaos.pass(sleep - 1);
        PlanAtRest::check(world);
        chaos.pass(1);
        BOOST_TEST(world.seals(world.now.wall));
        world.run();
        check(world);
    }
}

BOOST_DATA_TEST_CASE(a_clock_that_jumps_all_day_fills_the_ring_and_takes_no_key_away, data::xrange(3), seed) {
    Chaos chaos(static_cast<std::uint64_t>(seed), Policy{3600, 7200});
    for (int round = 0; round < 250; ++round) {
        chaos.pass(chaos.between(0, 10));
        chaos.jump_clock();
        chaos.world.run();
        check(chaos.world);
    }
    BOOST_TEST(!chaos.world.alarms.empty());
}

BOOST_DATA_TEST_CASE(losing_state_or_tokens_never_stops_it, data::xrange(200), seed) {
    Chaos chaos(static_cast<std::uint64_t>(seed), Policy{3600, 7200});
    auto& world = chaos.world;
    for (int round = 0; round < 40; ++round) {
        chaos.pass_time();
        switch (chaos.between(0, 7)) {
            case 0:
                world.token_pairs.clear();
                break;
            case 1:
                world.chain.reset();
                break;
            case 2:
                world.memory.pairs.clear();
                break;
            case 3:
                world.lose_ring();
                break;
            case 4:  // the state has seen more than the vault could be written
                world.memory.highest_index = world.memory.highest_index.value_or(0) +
                                             static_cast<std::uint64_t>(chaos.between(1, 3'000'000));
                world.memory.index_epoch -= chaos.chance(0.5) ? 1 : 0;
                break;
            case 5:
                world.lose_state();
                break;
            default:
                chaos.something_happens();
                break;
        }
        chaos.run(0.15);
        check(world);
    }
}

namespace {

using Event = void (*)(PlanWorld&);

void a_first_start(PlanWorld& world) {
    world = PlanWorld(1, world.policy);
}
void an_edge(PlanWorld& world) {
    world.now.wall += static_cast<std::int64_t>(world.policy.period);
    world.now.boot += world.policy.period;
}
void days(PlanWorld& world) {
    world.now.wall += 5 * 86400;
    world.now.boot += 5 * 86400;
}
void a_jump_forward(PlanWorld& world) {
    world.now.wall += 30 * 86400;
}
void a_jump_back(PlanWorld& world) {
    world.now.wall -= 30 * 86400;
}
void a_lost_ring(PlanWorld& world) {
    world.lose_ring();
}
void a_boot_at_1970(PlanWorld& world) {
    world.reboot(20);
    world.now.wall = 20;
}
void a_boot(PlanWorld& world) {
    world.reboot(20);
}
void a_ring_of_another_boot(PlanWorld& world) {
    world.reboot_with_ring(20);
}
void a_lost_chain_key(PlanWorld& world) {
    world.chain.reset();
}

const Event events[] = {a_first_start, an_edge,        days,   a_jump_forward,         a_jump_back,
                        a_lost_ring,   a_boot_at_1970, a_boot, a_ring_of_another_boot, a_lost_chain_key};

// Each place where a run can be killed, one after the other; then two events follow, the second of which is a
// clock that is set.
void kill_everywhere(const PlanWorld& settled, Event event) {
    for (unsigned place = 0;; ++place) {
        PlanWorld world = settled;
        event(world);
        world.die_after = place;
        bool killed = false;
        try {
            world.run();
        } catch (const Killed&) {
            killed = true;
        }
        const auto set_to = settled.now.wall + static_cast<std::int64_t>(world.policy.period);
        for (const auto wall : {world.now.wall, set_to}) {
            world.die_after.reset();
            world.now.wall = wall;
            world.run();
            check(world);
        }
        if (!killed)
            return;
    }
}

}  // namespace

BOOST_DATA_TEST_CASE(killed_at_each_action_it_goes_on, data::xrange(std::size(policies)), which) {
    PlanWorld settled(1, policies[which]);
    for (int epochs = 0; epochs < 5; ++epochs) {
        an_edge(settled);
        settled.run();
    }
    for (const auto event : events)
        kill_everywhere(settled, event);
}
