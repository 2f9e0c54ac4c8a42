// A fleet with keys by the hour: who comes in the middle of one has them at once, and a machine whose clock
// is an hour off serves on, with keys that are made meanwhile, too.
#define BOOST_TEST_MODULE fleet_clocks
#include "tests/fleet/faults_scene.hpp"

#include <algorithm>
#include <ctime>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>

using namespace stek;
using namespace stek::tests;
using test::eventually;

namespace {

constexpr int hour = 3600;

struct Scene : FaultsScene {
    Scene();
    ~Scene();
    /// The last one that a machine has of an epoch; -1 if it has none.
    [[nodiscard]] std::int64_t revision(const std::string& machine, std::uint64_t epoch) const {
        std::int64_t last = -1;
        if (const auto ring = fleet.ring(machine))
            for (const auto& record : ring->records)
                if (record->epoch == epoch)
                    last = record->revision;
        return last;
    }
    void expect_revision(const std::string& machine, std::uint64_t epoch, std::int64_t least) const {
        BOOST_TEST_REQUIRE(eventually([&] { return revision(machine, epoch) >= least; }, patience),
                           machine << "\n"
                                   << fleet.logs());
    }
};

Scene* current = nullptr;

Scene& scene() {
    return *current;
}

Scene::Scene() : FaultsScene(hour, 2 * hour, {"o1"}, {{"fra1", {"fra1-v1"}, {"fra1-m1", "fra1-m2"}}}) {
    current = this;
    fleet.start_all();
    BOOST_TEST_REQUIRE(eventually([&] { return fleet.all_well(); }, patience), fleet.logs());
    for (const auto& machine : fleet.machines())
        start_load(machine);
}

Scene::~Scene() {
    current = nullptr;
}

BOOST_TEST_GLOBAL_FIXTURE(Scene);

void check_resumption(const std::string& from, const std::string& to) {
    for (const int version : versions)
        BOOST_TEST(eventually([&] { return scene().fleet.resumes(from, to, version); }, patience),
                   from << " to " << to);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_machine_that_comes_in_the_middle_of_an_epoch_has_its_key) {
    auto& fleet = scene().fleet;
    fleet.enrol_machine("fra1-m3", fleet.site("fra1"));
    fleet.start("fra1-m3");
    BOOST_TEST_REQUIRE(eventually([&] { return fleet.is_well("fra1-m3"); }, patience),
                       fleet.log("fra1-v1") << fleet.log("fra1-m3"));
    scene().start_load("fra1-m3");
    check_resumption("fra1-m1", "fra1-m3");
    check_resumption("fra1-m3", "fra1-m1");
    (void)scene().check_handshakes();
}

BOOST_DATA_TEST_CASE(a_machine_whose_clock_is_an_hour_off_serves_on,
                     boost::unit_test::data::make({hour, -hour}), off) {
    auto& fleet = scene().fleet;
    const auto restart = [&](const test::Environment& environment) {
        fleet.stop("fra1-m1");
        fleet.start("fra1-m1", environment);
        BOOST_TEST_REQUIRE(eventually([&] { return fleet.is_ready("fra1-m1"); }, patience), fleet.logs());
    };
    restart(clock_off_by(off));
    check_resumption("fra1-m1", "fra1-m2");
    check_resumption("fra1-m2", "fra1-m1");
    // It takes what is made for the epoch to come. For one that is over by its clock it offers no pair: where
    // there is a new key in the middle of it, it seals with the old one, which everybody opens.
    const auto next = fleet.epoch_now() + 1;
    const auto revision = scene().revision("fra1-m2", next) + 1;
    BOOST_TEST(test::run({STEK_STEKCTL, "rotate", "--config", fleet.config("o1")}).exit_code == 0);
    for (const auto* machine : {"fra1-m1", "fra1-m2"})
        scene().expect_revision(machine, next, revision);
    check_resumption("fra1-m1", "fra1-m2");
    BOOST_TEST(fleet.runs("fra1-m1"), fleet.log("fra1-m1"));
    (void)scene().check_handshakes();

    restart({});
    check_resumption("fra1-m1", "fra1-m2");
    check_resumption("fra1-m2", "fra1-m1");
    (void)scene().check_handshakes();
}
