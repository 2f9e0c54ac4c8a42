// A machine's invariants whatever happens: clocks, losses, kills, revocations, an engine that comes and goes.
#define BOOST_TEST_MODULE fleet_machine_property
#include "machine_ledger.hpp"
#include "machine_scene.hpp"
#include "tests/fixtures/full_length.hpp"

#include <random>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

namespace data = boost::unit_test::data;
using namespace stek;
using namespace stek::fleet;
using daemon::KeyId;
using daemon::Policy;
using test::Killed;
using test::MachineLedger;
using test::MachineScene;

namespace {

const Policy policies[] = {{60, 120}, {600, 3600}, {3600, 1800}, {3600, 7200}};

class Chaos {
  public:
    Chaos(int seed, Policy policy) : scene(policy), ledger(scene), random_(static_cast<std::uint64_t>(seed)) {
        scene.settle();
        ledger.look();
    }

    std::int64_t between(std::int64_t low, std::int64_t high) {
        return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
    }
    bool chance(double p) { return std::bernoulli_distribution(p)(random_); }

    void something_happens() {
        const auto period = static_cast<std::int64_t>(scene.policy.period);
        switch (between(0, 10)) {
            case 0:
                return scene.set_clock(between(0, 1) == 0 ? -period : period);
            case 1:
                return scene.set_clock(between(-10 * period, 10 * period));
            case 2:
                return scene.set_clock(between(-400, 400) * 86400);
            case 3:
            case 4:
                return scene.set_clock(0);
            case 5:
                scene.ticket.ring = nullptr;
                return ledger.lose_ring();
            case 6:
                return scene.start();
            case 7:
                ledger.reboot();
                if (chance(0.5))
                    scene.ticket.held.clear();
                return scene.reboot();
            case 8:
                scene.engine.down = chance(0.7);
                return;
            case 9:
                if (chance(0.3))
                    scene.engine.values.clear();
                return;
            default:
                return revoke();
        }
    }

    void revoke() {
        const KeyId key{scene.right_epoch() + static_cast<std::uint64_t>(between(0, 3)), 0};
        scene.vaults[1].revoked.insert(key);
        scene.revoke(key);
        ledger.revoked(key);
    }

    /// One run of a process, which may be killed or have a call fail.
    void run(double trouble) {
        const auto calls = static_cast<unsigned>(between(0, 40));
        const bool kill = chance(0.5);
        if (chance(trouble))
            kill ? scene.trap.kill_after(calls) : scene.trap.fail_after(calls);
        try {
            scene.run();
        } catch (const Killed&) {
        } catch (const EngineError&) {
        } catch (const FrameError&) {  // killed before it could save a list
        }
        scene.trap.remove();
        if (kill)
            scene.start();
        ledger.look();
    }

    MachineScene scene;
    MachineLedger ledger;

  private:
    std::mt19937_64 random_;
};

void check(MachineLedger& ledger) {
    for (const auto& violated : ledger.violations)
        BOOST_ERROR(violated);
    ledger.violations.clear();
}

/// Which keys are at hand, and whether all fits together.
std::set<KeyId> end_of(MachineScene& scene) {
    BOOST_TEST(scene.is_consistent());
    std::set<KeyId> keys;
    for (const auto& record : scene.ticket.ring->records)
        keys.insert({record->epoch, record->revision});
    return keys;
}

using Event = void (*)(MachineScene&);

void an_edge(MachineScene& scene) {
    scene.pass(static_cast<std::int64_t>(scene.policy.period));
    scene.serve();
}
void a_new_key(MachineScene& scene) {
    scene.serve(0, 1);
}
void a_revocation(MachineScene& scene) {
    scene.revoke({scene.epoch(), 0});
}
void a_lost_ring(MachineScene& scene) {
    scene.ticket.ring = nullptr;
}
void a_boot(MachineScene& scene) {
    scene.reboot();
}
void a_remade_token(MachineScene& scene) {
    scene.ticket.held.clear();
    scene.ticket.serial += "+";
}
void an_empty_engine(MachineScene& scene) {
    scene.engine.values.clear();
}
void days(MachineScene& scene) {
    scene.pass(5 * 86400);
}

const Event events[] = {an_edge, a_new_key,      a_revocation,    a_lost_ring,
                        a_boot,  a_remade_token, an_empty_engine, days};

}  // namespace

BOOST_DATA_TEST_CASE(anything_may_happen_to_a_machine,
                     data::xrange(test::at_full_length() ? 15 : 3) * data::xrange(std::size(policies)), seed,
                     which) {
    Chaos chaos(seed, policies[which]);
    const auto period = static_cast<std::int64_t>(chaos.scene.policy.period);
    for (int round = 0; round < 25; ++round) {
        chaos.scene.pass(chaos.between(0, period));
        if (chaos.chance(0.5))
            chaos.something_happens();
        chaos.run(0.3);
        chaos.scene.serve(static_cast<std::size_t>(chaos.between(0, 1)));
        chaos.run(0.3);
        // In peace at last, though perhaps with no engine.
        chaos.run(0);
        chaos.scene.serve();
        chaos.run(0);
        chaos.ledger.check_rest();
        check(chaos.ledger);
    }
    chaos.scene.engine.down = false;
    chaos.scene.set_clock(0);
    chaos.scene.pass(10 * period);
    chaos.scene.settle();
    BOOST_TEST(chaos.scene.sealing() != nullptr);
}

BOOST_DATA_TEST_CASE(whichever_call_fails_or_is_its_last_the_next_run_gets_there,
                     data::xrange(std::size(events)) * data::make({false, true}), which, kill) {
    const auto prepare = [&](MachineScene& scene) {
        scene.settle();
        scene.pass(static_cast<std::int64_t>(scene.policy.period));
        scene.settle();
        events[which](scene);
    };
    MachineScene untroubled;
    prepare(untroubled);
    untroubled.settle();
    const auto expected = end_of(untroubled);
    for (unsigned calls = 0;; calls += test::at_full_length() ? 1 : 5) {
        MachineScene scene;
        prepare(scene);
        kill ? scene.trap.kill_after(calls) : scene.trap.fail_after(calls);
        try {
            scene.run();
        } catch (const Killed&) {
        } catch (const FrameError&) {
        }
        const bool all_were_made = scene.trap.is_set();
        scene.trap.remove();
        if (kill)
            scene.start();
        scene.settle();
        BOOST_TEST((end_of(scene) == expected), "with call " << calls << " of event " << which);
        BOOST_TEST(scene.machine->report().alarms.empty());
        if (all_were_made)
            return;
    }
}
