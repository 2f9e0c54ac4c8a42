// kill -9 of stekd at each system call of a rotation, before it and after it: whatever the moment, the ring
// that servers read is whole and has a key to seal with, and the next start ends the work.
#define BOOST_TEST_MODULE syscall_sweep
#include "tests/fixtures/faulty_module.hpp"
#include "tests/fixtures/full_length.hpp"
#include "tests/kill/ledger.hpp"
#include "tests/kill/traced_kill.hpp"
#include "tests/kill/vault_view.hpp"
#include "tests/token/stekd_instance.hpp"

#include <algorithm>
#include <iostream>
#include <map>

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::test;

namespace {

/// stekd's clocks, the age of keys included: the real ones and a shift.
class ShiftedClock {
  public:
    [[nodiscard]] std::int64_t wall() const { return std::time(nullptr) + shift_; }
    /// To its first quarter: there is time before the edge that is next then.
    void to_next_epoch(std::int64_t period) {
        const auto epoch = wall() / period + 1;
        shift_ += epoch * period + period / 4 - wall();
    }
    [[nodiscard]] Environment environment() const {
        return {{"LD_PRELOAD", "/usr/$LIB/faketime/libfaketime.so.1"},
                {"FAKETIME", "+" + std::to_string(shift_)}};
    }

  private:
    std::int64_t shift_ = 0;
};

/// An instance that lives through one rotation after the other, each of them killed once.
class Sweep {
  public:
    explicit Sweep(std::int64_t period)
        : period_(period),
          module_(space_.path()),
          instance_(static_cast<unsigned>(period), static_cast<unsigned>(2 * period),
                    {"--module", module_.path()}),
          config_(daemon::load_config(instance_.config())) {
        clock_.to_next_epoch(period_);
        BOOST_REQUIRE(once().exit_code == 0);
    }

    /// Each run of stekd ends with a look whether the token refuses what it must, at a pair that takes half a
    /// second to make. Where no pairs can be made that look fails, when all the work is done.
    void pairs_can_be_made(bool yes) {
        pairs_ = yes;
        if (yes)
            module_.clear();
        else
            module_.fail("C_GenerateKeyPair", CKR_DEVICE_MEMORY);
    }

    /// The next rotation, killed at that point. False if it came to its end before.
    bool kill_at(const KillPoint& point) {
        clock_.to_next_epoch(period_);
        const auto run = run_traced(command(), clock_.environment(), point);
        calls_ = std::max(calls_, run.calls);
        where_ = "stop " + std::to_string(point.stop) + " (" + run.where + ")";
        if (run.killed)
            ++killed_in_[run.where.substr(0, run.where.find(','))];
        kills_ += run.killed ? 1 : 0;
        BOOST_TEST_CONTEXT(where_) {
            look(2);
        }
        return run.killed;
    }

    /// The next start ends the work.
    void recover() {
        BOOST_TEST_CONTEXT(where_) {
            const auto outcome = once();
            BOOST_TEST(outcome.exit_code == (pairs_ ? 0 : 75), outcome.output);
            look(0);
            BOOST_TEST(sealing_record(*instance_.ring(), clock_.wall() + period_, 0) != nullptr,
                       "there is no key for the next epoch");
            const auto chain = chain_position(config_);
            BOOST_REQUIRE(chain);
            BOOST_TEST((chain_ < *chain), "the chain went from " << chain_.index << " to " << chain->index);
            BOOST_TEST(static_cast<std::int64_t>(chain->epoch) == clock_.wall() / period_);
            chain_ = *chain;
            for (const auto& file : leftovers(config_))
                BOOST_ERROR("left over: " + file);
        }
    }

    [[nodiscard]] unsigned kills() const noexcept { return kills_; }
    void report(const char* what) const {
        std::cout << what << ": " << calls_ << " system calls, killed at " << kills_ << " points (";
        for (const auto& [call, times] : killed_in_)
            std::cout << call << ' ' << times << ", ";
        std::cout << ledger_.keys() << " keys seen, none twice)" << std::endl;
    }

  private:
    [[nodiscard]] Arguments command() const { return {STEK_STEKD, "--config", instance_.config(), "--once"}; }
    [[nodiscard]] Outcome once() const { return run(command(), clock_.environment()); }

    /// The ring as servers would find it now, who go on with a key for `stale_epochs` after its time.
    void look(unsigned stale_epochs) {
        const auto ring = instance_.ring();  // throws if it is not whole
        BOOST_REQUIRE(ring);
        BOOST_TEST(sealing_record(*ring, clock_.wall(), stale_epochs) != nullptr, "no key to seal with");
        for (const auto& wrong : ledger_.enter(*ring))
            BOOST_ERROR(wrong);
    }

    std::int64_t period_;
    Workspace space_{"sweep"};
    tests::FaultyModule module_;
    StekdInstance instance_;
    daemon::Config config_;
    ShiftedClock clock_;
    Ledger ledger_;
    ChainPosition chain_{};
    bool pairs_ = true;
    std::string where_;
    unsigned kills_ = 0;
    unsigned long calls_ = 0;
    std::map<std::string, unsigned> killed_in_;
};

}  // namespace

// At ten seconds sixty epochs share a pair: a rotation retires, derives, publishes and moves the chain on.
BOOST_AUTO_TEST_CASE(a_rotation) {
    Sweep sweep(10);
    const auto the_lock = [](const std::string& path) { return path.ends_with("/state/lock"); };
    const unsigned step = at_full_length() ? 1 : 23;
    bool killed = true;
    for (unsigned stop = 1, turn = 0; killed; stop += step, ++turn) {
        sweep.pairs_can_be_made(false);
        killed = sweep.kill_at({the_lock, stop});
        sweep.pairs_can_be_made(turn % 4 == 0);  // those that are due, within their lead of six epochs
        sweep.recover();
    }
    sweep.report("a rotation");
    BOOST_TEST(sweep.kills() >= (at_full_length() ? 200U : 8U));
}

// At ten minutes each epoch has a pair of its own. SoftHSM makes it in a thousand stops, attribute by
// attribute.
BOOST_AUTO_TEST_CASE(a_rotation_from_the_making_of_its_pair_on) {
    Sweep sweep(600);
    const auto a_half = [](const std::string& path) {
        return path.ends_with(".object") && !path.ends_with("/token.object");
    };
    const unsigned step = at_full_length() ? 41 : 601;
    bool killed = true;
    for (unsigned stop = 1; killed; stop += step) {
        killed = sweep.kill_at({a_half, stop});
        sweep.recover();
    }
    sweep.report("a rotation, from the making of its pair on");
    BOOST_TEST(sweep.kills() >= (at_full_length() ? 20U : 2U));
}
