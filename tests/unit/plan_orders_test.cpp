// Orders to rotate and to revoke, in the plan: case by case, then with kills at every action.
#define BOOST_TEST_MODULE plan_orders
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

constexpr std::int64_t hour = 3600;
constexpr Now half_past{500'000 * hour + 1800, 5000};

PlanWorld settled(Policy policy = {}, Now at = half_past) {
    PlanWorld world(1, policy);
    world.now = at;
    world.run();
    return world;
}

void move(PlanWorld& world, std::int64_t seconds) {
    world.now.wall += seconds;
    world.now.boot += static_cast<std::uint64_t>(seconds);
}

bool holds(const PlanWorld& world, KeyId key) {
    return std::any_of(world.ring.begin(), world.ring.end(), [&](const auto& r) { return r.key == key; });
}

std::set<PairId> pairs_named(const PlanWorld& world) {
    std::set<PairId> pairs;
    for (const auto& record : world.ring)
        pairs.insert(record.pair);
    return pairs;
}

Revoke just(std::uint64_t epoch, std::optional<std::uint32_t> revision = {}) {
    return {.all = false, .keys = {{epoch, revision}}};
}

std::vector<std::size_t> kinds(const Plan& plan) {
    std::vector<std::size_t> kinds;
    for (const auto& action : plan.actions)
        kinds.push_back(action.index());
    return kinds;
}

}  // namespace

BOOST_AUTO_TEST_CASE(rotate_makes_the_next_revision_for_now_and_for_what_is_ahead) {
    auto world = settled();
    world.run(0, Rotate{});
    BOOST_TEST((world.sealing(world.now.wall) == KeyId{500'000, 1}));
    BOOST_TEST((world.sealing(world.now.wall + hour) == KeyId{500'001, 2}));
    BOOST_TEST(holds(world, {500'000, 0}), "older tickets open as before");
    BOOST_TEST(!holds(world, {500'001, 0}), "a key made before the order never begins to seal");
    for (const auto& record : world.ring)
        if (record.key == KeyId{500'000, 1})
            BOOST_TEST(record.not_before == 500'000 * hour);
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(rotate_wraps_to_new_pairs) {
    auto world = settled();
    const auto before = pairs_named(world);
    world.run(0, Rotate{});
    for (const auto& record : world.ring)
        BOOST_TEST(before.contains(record.pair) == (record.key == KeyId{500'000, 0}));
    BOOST_TEST(world.token_pairs.size() == 3U);  // the one prepared for the old key ahead is gone
}

BOOST_AUTO_TEST_CASE(what_was_rotated_away_never_seals_again) {
    auto world = settled();
    const auto chain = *world.chain;
    world.run(0, Rotate{});
    BOOST_TEST((*world.chain == chain), "the chain stays where it is");
    // An edge that nobody is there for, and a clock that comes back to an epoch before the order.
    move(world, hour);
    BOOST_TEST((world.sealing(world.now.wall) == KeyId{500'001, 2}));
    world.run();
    world.now.wall = half_past.wall;
    world.run();
    BOOST_TEST((world.sealing(world.now.wall) == KeyId{500'000, 1}));
    world.now.wall -= hour;
    world.run();
    BOOST_TEST(world.sealing(world.now.wall)->revision > 2U);
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(keys_before_the_order_stop_sealing_whatever_their_numbers) {
    // After a change of period the old records have larger numbers, or longer windows.
    for (const std::uint64_t period : {60, 86400}) {
        auto world = settled();
        world.policy.period = period;
        world.run();
        std::set<KeyId> before;
        for (const auto& record : world.ring)
            before.insert(record.key);
        world.run(0, Rotate{});
        for (std::int64_t ahead = 0; ahead < 2 * hour; ahead += 30)
            if (const auto key = world.sealing(world.now.wall + ahead))
                BOOST_TEST(!before.contains(*key));
        BOOST_TEST(world.violations.empty());
    }
}

BOOST_AUTO_TEST_CASE(rotate_again_and_again) {
    auto world = settled();
    std::set<KeyId> sealed_with;
    for (int i = 0; i < 200; ++i) {
        world.run(0, Rotate{});
        BOOST_TEST(sealed_with.insert(*world.sealing(world.now.wall)).second);
        BOOST_TEST(world.ring.size() <= max_ring_records);
    }
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(rotate_and_revoke_old_makes_the_new_key_before_the_old_ones_go) {
    auto world = settled();
    move(world, hour);
    world.run();
    const auto old_pairs = pairs_named(world);
    auto seen = world.seen();
    seen.order = Rotate{.revoke_old = true};
    const auto plan = daemon::plan(world.now, world.policy, seen);
    const auto order = kinds(plan);
    const auto at = [&](const Action& kind) {
        return std::find(order.begin(), order.end(), kind.index()) - order.begin();
    };
    BOOST_TEST(at(Derive{}) < at(Condemn{}), "if no pair can be made, the old keys stay");
    BOOST_TEST(at(Publish{}) < at(Condemn{}), "if no ring can be written, the old keys stay");
    BOOST_TEST(at(Condemn{}) < at(DestroyPair{}));
    BOOST_TEST((std::find(order.begin() + at(DestroyPair{}), order.end(), Action(Publish{}).index()) !=
                order.end()));

    world.run(0, Rotate{.revoke_old = true});
    BOOST_TEST(world.ring.size() == 2U);
    BOOST_TEST(world.sealing(world.now.wall)->revision > 0U);
    for (const auto& id : old_pairs)
        BOOST_TEST(!world.token_pairs.contains(id), "a copy of the old ring opens nothing");
    BOOST_TEST(world.memory.condemned.empty());
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(revoke_of_an_older_key_costs_that_key_only) {
    auto world = settled();
    move(world, hour);
    world.run();
    const auto first = world.ring.front();
    BOOST_REQUIRE((first.key == KeyId{500'000, 0}));
    const auto derived = world.derived;
    world.run(0, just(500'000));
    BOOST_TEST(!holds(world, first.key));
    BOOST_TEST(!world.token_pairs.contains(first.pair));
    BOOST_TEST(world.derived == derived);
    BOOST_TEST((world.sealing(world.now.wall) == KeyId{500'001, 0}));
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(revoke_of_the_sealing_key_makes_another_at_once) {
    auto world = settled();
    world.run(0, just(500'000, 0));
    BOOST_TEST((world.sealing(world.now.wall) == KeyId{500'000, 1}));
    BOOST_TEST((world.sealing(world.now.wall + hour) == KeyId{500'001, 0}), "it was not named");
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(a_revoked_key_loses_its_pair_and_leaves_the_ring_before_a_pair_is_made) {
    auto world = settled();
    auto seen = world.seen();
    seen.order = just(500'000);
    const auto plan = daemon::plan(world.now, world.policy, seen);
    const std::vector<std::size_t> wanted{Action(Condemn{}).index(),  Action(DestroyPair{}).index(),
                                          Action(Retire{}).index(),   Action(Publish{}).index(),
                                          Action(MakePair{}).index(), Action(Derive{}).index(),
                                          Action(Publish{}).index()};
    BOOST_TEST(kinds(plan) == wanted, boost::test_tools::per_element());
}

// Nothing else tells it after a kill, where no file could be written.
BOOST_AUTO_TEST_CASE(what_is_wrapped_to_a_pair_that_is_gone_leaves_the_ring_before_a_pair_is_made) {
    auto world = settled();
    world.token_pairs.erase(world.ring.front().pair);
    const auto plan = daemon::plan(world.now, world.policy, world.seen());
    const std::vector<std::size_t> wanted{Action(Retire{}).index(), Action(Publish{}).index(),
                                          Action(MakePair{}).index(), Action(Derive{}).index(),
                                          Action(Publish{}).index()};
    BOOST_TEST(kinds(plan) == wanted, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_ring_that_could_not_be_published_is_published_and_not_made_again) {
    auto world = settled();
    auto seen = world.seen();
    seen.unpublished = true;
    const std::vector<std::size_t> wanted{Action(Publish{}).index()};
    BOOST_TEST(kinds(daemon::plan(world.now, world.policy, seen)) == wanted,
               boost::test_tools::per_element());
    seen.order = just(500'000);
    BOOST_TEST(kinds(daemon::plan(world.now, world.policy, seen)).size() == 7U);
}

BOOST_AUTO_TEST_CASE(revoke_by_revision_spares_the_others) {
    auto world = settled();
    world.run(0, Rotate{});
    world.run(0, just(500'000, 0));
    BOOST_TEST(!holds(world, {500'000, 0}));
    BOOST_TEST((world.sealing(world.now.wall) == KeyId{500'000, 1}), "it has a pair of its own");
    world.run(0, just(500'000, 7));
    BOOST_TEST((world.sealing(world.now.wall) == KeyId{500'000, 1}), "there is no such key");
    world.run(0, just(500'000));
    BOOST_TEST(world.sealing(world.now.wall)->revision > 1U);
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(at_short_periods_all_that_share_the_pair_are_given_up) {
    auto world = settled(Policy{1, 5}, {1'800'000'000, 50});
    for (int i = 0; i < 4; ++i) {
        move(world, 1);
        world.run();
    }
    BOOST_TEST(pairs_named(world).size() == 1U);
    const auto pair = *pairs_named(world).begin();
    std::set<KeyId> before;
    for (const auto& record : world.ring)
        before.insert(record.key);
    world.run(0, just(1'800'000'001));
    for (const auto& key : before)
        BOOST_TEST(!holds(world, key));
    BOOST_TEST(!world.token_pairs.contains(pair));
    BOOST_TEST(world.seals(world.now.wall));
    BOOST_TEST(world.ring.size() == 11U);
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(revoke_all_takes_the_pairs_that_wait_for_their_time_too) {
    auto world = settled(Policy{300, 600}, {1'800'000'000, 50});
    const auto before = world.token_pairs;
    BOOST_TEST(before.size() > pairs_named(world).size());
    std::set<KeyId> keys;
    for (const auto& record : world.ring)
        keys.insert(record.key);
    world.run(0, Revoke{.all = true, .keys = {}});
    for (const auto& id : before)
        BOOST_TEST(!world.token_pairs.contains(id));
    for (const auto& key : keys)
        BOOST_TEST(!holds(world, key));
    BOOST_TEST(world.seals(world.now.wall));
    BOOST_TEST(world.violations.empty());
}

BOOST_AUTO_TEST_CASE(what_is_not_in_the_ring_is_revoked_in_no_time) {
    auto world = settled();
    auto seen = world.seen();
    seen.order = just(12345);
    BOOST_TEST(daemon::plan(world.now, world.policy, seen).actions.empty());
}

BOOST_AUTO_TEST_CASE(with_an_origin_there_is_no_rotation_here) {
    PlanWorld world(1, Policy{});
    world.now = half_past;
    world.chain = ChainPosition{500'000, 500'000};
    world.hourly = {false, {{500'000, 0}, {500'001, 0}}};
    world.run();
    const auto before = world.ring.size();
    world.run(0, Rotate{.revoke_old = true});
    BOOST_TEST(world.alarms.size() == 1U);
    BOOST_TEST(world.ring.size() == before);
    // A revoked key is made again only if its hourly key is still at hand.
    std::erase(world.hourly.at_hand, KeyId{500'000, 0});
    world.run(0, just(500'000));
    BOOST_TEST(!holds(world, {500'000, 0}));
    world.hourly.at_hand.push_back({500'000, 1});
    world.run();
    BOOST_TEST((world.sealing(world.now.wall) == KeyId{500'000, 1}));
    BOOST_TEST(world.violations.empty());
}

namespace {

const Policy policies[] = {{1, 5}, {7, 20}, {600, 7200}, {3600, 7200}};

// An order is given again until it is answered. What it promised then holds for ever after.
class Orders {
  public:
    Orders(std::uint64_t seed, Policy policy) : world(seed, policy), random_(seed * 91 + 5) { world.run(); }

    std::int64_t between(std::int64_t low, std::int64_t high) {
        return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
    }

    void pass_time() { move(world, between(0, static_cast<std::int64_t>(world.policy.period) * 2)); }

    void jump_clock() {
        const auto reach = 3 * static_cast<std::int64_t>(world.policy.period);
        world.now.wall += between(-reach, reach);
    }

    Order any_order() {
        const auto kind = between(0, 5);
        if (kind < 3)
            return Rotate{.revoke_old = kind == 0};
        if (kind == 3 || world.ring.empty())
            return Revoke{.all = true, .keys = {}};
        const auto& record =
            world
                .ring[static_cast<std::size_t>(between(0, static_cast<std::int64_t>(world.ring.size()) - 1))];
        return just(record.key.epoch, kind == 4 ? std::optional(record.key.revision) : std::nullopt);
    }

    void give(const Order& order) {
        promise(order);
        for (int kills = 0; kills < 5; ++kills) {
            try {
                world.run(0.2, order);
                return;
            } catch (const Killed&) {
                // A revocation goes on by itself: now and then nobody repeats the order.
                if (between(0, 3) == 0)
                    pass_time();
                if (between(0, 5) == 0)
                    jump_clock();
            }
        }
        world.run(0, order);
    }

    void check() {
        for (const auto& violated : world.violations)
            BOOST_ERROR(violated);
        const auto now = world.sealing(world.now.wall);
        const auto next = world.sealing(world.now.wall + static_cast<std::int64_t>(world.policy.period));
        BOOST_TEST((now && next), "there is a record that seals, now and in the next epoch");
        BOOST_TEST((!replaced.contains(*now) && !replaced.contains(*next)), "what was replaced never seals");
        for (const auto& record : world.ring)
            BOOST_TEST((!revoked.contains(record.key) && !dead.contains(record.pair)),
                       "what was revoked never comes back");
        for (const auto& id : world.token_pairs)
            BOOST_TEST(!dead.contains(id), "copies of old rings open nothing");
        BOOST_TEST(daemon::plan(world.now, world.policy, world.seen()).actions.empty(),
                   "done twice is done once");
    }

    PlanWorld world;
    std::set<KeyId> replaced, revoked;
    std::set<PairId> dead;

  private:
    void promise(const Order& order) {
        const auto* rotate = std::get_if<Rotate>(&order);
        const auto* revoke = std::get_if<Revoke>(&order);
        for (const auto& record : world.ring) {
            if (rotate != nullptr)
                replaced.insert(record.key);
            const bool named =
                revoke != nullptr && std::any_of(revoke->keys.begin(), revoke->keys.end(),
                                                 [&](const auto& which) { return which.names(record.key); });
            if (named || (rotate != nullptr && rotate->revoke_old) || (revoke != nullptr && revoke->all)) {
                revoked.insert(record.key);
                dead.insert(record.pair);
            }
        }
        if ((rotate != nullptr && rotate->revoke_old) || (revoke != nullptr && revoke->all))
            dead.insert(world.token_pairs.begin(), world.token_pairs.end());
    }

    std::mt19937_64 random_;
};

}  // namespace

BOOST_DATA_TEST_CASE(orders_with_kills_and_clocks_that_jump, data::xrange(40), seed) {
    for (const auto& policy : policies) {
        Orders orders(static_cast<std::uint64_t>(seed), policy);
        for (int round = 0; round < 25; ++round) {
            orders.pass_time();
            if (orders.between(0, 3) == 0)
                orders.jump_clock();
            orders.give(orders.any_order());
            orders.check();
        }
        BOOST_TEST(!orders.dead.empty());
        BOOST_TEST(!orders.replaced.empty());
    }
}

// Killed after the pair was condemned, and nobody gives the order again: it is carried out all the same.
BOOST_DATA_TEST_CASE(a_revocation_that_was_begun_is_ended, data::xrange(60), seed) {
    PlanWorld world(static_cast<std::uint64_t>(seed), Policy{});
    world.run();
    const auto victim = world.ring.front();
    try {
        world.run(0.3, just(victim.key.epoch, victim.key.revision));
    } catch (const Killed&) {
    }
    const bool begun = world.memory.is_condemned(victim.pair) || !world.token_pairs.contains(victim.pair);
    for (;;) {
        try {
            world.run(0.3);
            break;
        } catch (const Killed&) {
        }
    }
    BOOST_TEST(world.token_pairs.contains(victim.pair) == !begun);
    BOOST_TEST(holds(world, victim.key) == !begun);
    BOOST_TEST(world.seals(world.now.wall));
    BOOST_TEST(world.violations.empty());
}
