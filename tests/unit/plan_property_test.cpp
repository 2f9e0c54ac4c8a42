// The plan's invariants under random clocks, losses and kills. Each has a name; PlanWorld checks those that
// hold at every action, the cases here those that hold at rest.
#define BOOST_TEST_MODULE plan_property
#include "plan_world.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

namespace data = boost::unit_test::data;
using namespace stek;
using namespace stek::daemon;
using stek::test::Killed;
using stek::test::PlanWorld;

namespace {

class Chaos {
  public:
    Chaos(std::uint64_t seed, Policy policy) : world(seed, policy), random_(seed * 77 + 1) {}

    std::int64_t between(std::int64_t low, std::int64_t high) {
        return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
    }

    bool chance(double p) { return std::bernoulli_distribution(p)(random_); }

    void pass_time() {
        const auto seconds = between(0, static_cast<std::int64_t>(world.policy.period) * 2);
        world.now.wall += seconds;
        world.now.boot += static_cast<std::uint64_t>(seconds);
    }

    void jump_clock() {
        const auto period = static_cast<std::int64_t>(world.policy.period);
        const std::int64_t reach = chance(0.5) ? 3 * period : 400 * 86400LL;
        world.now.wall = std::max<std::int64_t>(world.now.wall + between(-reach, reach), 86400);
    }

    void run_with_kills() {
        for (int kills = 0; kills < 6; ++kills) {
            try {
                world.run(0.15);
                return;
            } catch (const Killed&) {
                if (chance(0.3))
                    pass_time();
                if (chance(0.2))
                    jump_clock();
            }
        }
        world.run();
    }

    void check_rest() {
        const auto& policy = world.policy;
        for (const auto& violated : world.violations)
            BOOST_ERROR(violated);
        BOOST_TEST(world.seals(world.now.wall), "there is a record that seals now");
        BOOST_TEST(world.seals(world.now.wall + static_cast<std::int64_t>(policy.period)),
                   "there is a record that will seal in the next epoch");
        BOOST_TEST(world.chain->epoch == policy.epoch_at(world.now.wall), "the chain stands at this epoch");
        std::set<KeyId> names;
        std::set<PairId> named;
        for (const auto& record : world.ring) {
            BOOST_TEST(record.destroy_at > world.now.boot, "nothing lives beyond its age");
            BOOST_TEST(names.insert(record.key).second, "the ring has each (epoch, revision) once");
            named.insert(record.pair);
        }
        for (const auto& id : world.token_pairs) {
            const bool known = std::any_of(world.memory.pairs.begin(), world.memory.pairs.end(),
                                           [&](const auto& pair) { return pair.id == id; });
            BOOST_TEST((named.contains(id) || known), "no stray pair stays");
        }
        for (const auto& id : named)
            BOOST_TEST(world.token_pairs.contains(id), "what the ring names is in the token");
        BOOST_TEST(world.ring.size() <= max_ring_records);
        BOOST_TEST(daemon::plan(world.now, policy, world.seen()).actions.empty(), "done twice is done once");
    }

    PlanWorld world;

  private:
    std::mt19937_64 random_;
};

const Policy policies[] = {{1, 5}, {7, 20}, {600, 7200}, {3600, 7200}, {3600, 64800}};

}  // namespace

BOOST_DATA_TEST_CASE(clocks_that_jump_and_kills_at_every_action, data::xrange(60), seed) {
    for (const auto& policy : policies) {
        Chaos chaos(static_cast<std::uint64_t>(seed), policy);
        for (int round = 0; round < 25; ++round) {
            chaos.pass_time();
            if (chaos.chance(0.3))
                chaos.jump_clock();
            if (chaos.chance(0.1))
                chaos.world.lose_ring();
            chaos.run_with_kills();
            chaos.check_rest();
        }
        BOOST_TEST(chaos.world.derived > 25U);
    }
}

BOOST_AUTO_TEST_CASE(on_a_steady_clock_index_and_epoch_go_together) {
    Chaos chaos(1, Policy{3600, 7200});
    chaos.world.run();
    const auto offset = chaos.world.chain->epoch - chaos.world.chain->index;
    for (int quarter = 0; quarter < 400; ++quarter) {
        chaos.world.now.wall += 900;
        chaos.world.now.boot += 900;
        BOOST_TEST(chaos.world.seals(chaos.world.now.wall), "servers switch at the edge by themselves");
        try {
            chaos.world.run(0.1);
        } catch (const Killed&) {
            chaos.world.run();
        }
        chaos.check_rest();
        BOOST_TEST(chaos.world.chain->epoch - chaos.world.chain->index == offset);
        BOOST_TEST(chaos.world.ring.size() <= chaos.world.policy.records_alive());
    }
}

BOOST_DATA_TEST_CASE(losing_state_or_tokens_never_stops_it, data::xrange(30), seed) {
    Chaos chaos(static_cast<std::uint64_t>(seed), Policy{3600, 7200});
    for (int round = 0; round < 40; ++round) {
        chaos.pass_time();
        switch (chaos.between(0, 6)) {
            case 0:
                chaos.world.token_pairs.clear();
                break;
            case 1:
                chaos.world.chain.reset();
                break;
            case 2:
                chaos.world.memory.pairs.clear();
                break;
            case 3:
                chaos.world.lose_ring();
                break;
            case 4:  // the state has seen more than the vault could be written
                chaos.world.memory.highest_index = chaos.world.memory.highest_index.value_or(0) +
                                                   static_cast<std::uint64_t>(chaos.between(1, 3'000'000));
                chaos.world.memory.index_epoch -= chaos.chance(0.5) ? 1 : 0;
                break;
            default:
                break;
        }
        chaos.run_with_kills();
        chaos.check_rest();
    }
}
