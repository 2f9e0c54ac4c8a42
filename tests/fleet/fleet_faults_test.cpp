// A fleet under load while origins are killed, locations are away, the engine is lost or cannot be written,
// machines are booted and clocks are wrong: no handshake fails, and afterwards everybody has the newest keys.
#define BOOST_TEST_MODULE fleet_faults
#include "daemon/exit_codes.hpp"
#include "tests/fixtures/full_length.hpp"
#include "tests/fleet/faults_scene.hpp"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <thread>

#include <sys/mount.h>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;
using test::eventually;

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t year = 365LL * 86400, long_ago = 1030LL * faults_period, lately = 30LL * faults_period;

/// On a disk of its own; it begins long ago.
struct Scene : FaultsScene {
    Scene();
    ~Scene();
};

Scene* current = nullptr;

Scene& scene() {
    return *current;
}

Scene::Scene() : FaultsScene("16M", long_ago) {
    current = this;
}

Scene::~Scene() {
    current = nullptr;
}

BOOST_TEST_GLOBAL_FIXTURE(Scene);

/// The frames under the bundles' keys, whoever looks: none may ever be another one.
class BundleWatch {
  public:
    BundleWatch() : thread_([this](const std::stop_token& stop) { watch(stop); }) {}
    /// Ends it. How many were seen.
    std::size_t check() {
        thread_.request_stop();
        thread_.join();
        BOOST_TEST(changed_.empty(), "bundle " << changed_ << " is another one");
        return seen_.size();
    }

  private:
    void watch(const std::stop_token& stop) {
        const auto engine = scene().fleet.open_engine();
        while (!stop.stop_requested()) {
            for (const auto& name : engine->list(bucket::hourly, ""))
                if (const auto frame = engine->get(bucket::hourly, name))
                    if (seen_.try_emplace(name, *frame).first->second != *frame)
                        changed_ = name;
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
    }
    std::map<std::string, std::vector<std::uint8_t>> seen_;
    std::string changed_;
    std::jthread thread_;  // last: it uses the others
};

/// It is durable, and whether the engine took it is not known.
bool holds_unpublished_bundle(const std::string& origin) {
    std::error_code gone;
    for (const auto& file : fs::directory_iterator(scene().fleet.in(origin + ".state/bundles"), gone))
        if (file.path().extension() == ".minted")
            return true;
    return false;
}

}  // namespace

// --- time that passes ---

// First of all: they begin in the past, and are switched off until the present.
BOOST_AUTO_TEST_CASE(a_location_may_be_off_for_thirty_and_a_thousand_epochs) {
    auto& fleet = scene().fleet;
    scene().start_load("fra1-m1");
    const std::vector<std::string> some{"o1", "fra1-v1", "fra1-v2", "fra1-m1"};
    for (const std::int64_t ago : {long_ago, lately}) {
        for (const auto& party : some)
            fleet.start(party, clock_off_by(-ago));
        const auto begin = fleet.policy().epoch_at(std::time(nullptr) - ago);
        BOOST_TEST_REQUIRE(eventually([&] { return fleet.newest_epoch("fra1-m1") > begin; }, patience),
                           fleet.logs());
        for (const auto& party : some)
            fleet.stop(party);
    }
    (void)scene().check_handshakes();
    fleet.start_all();
    for (const auto& machine : fleet.machines())
        scene().start_load(machine);
    scene().expect_healed();
}

BOOST_AUTO_TEST_CASE(a_location_may_be_off_for_some_epochs_while_the_others_go_on) {
    auto& fleet = scene().fleet;
    for (const auto epochs :
         test::at_full_length() ? std::vector<std::uint64_t>{3, 30} : std::vector<std::uint64_t>{3}) {
        for (const auto& vault : fleet.site("fra1").vaults)
            fleet.stop(vault);
        scene().let_epochs_pass(epochs);
        BOOST_TEST(eventually([&] { return fleet.is_well("ams1-m1"); }, patience));
        for (const auto& vault : fleet.site("fra1").vaults)
            fleet.start(vault);
        scene().expect_healed();
    }
}

// --- origins ---

BOOST_AUTO_TEST_CASE(origins_are_killed_while_they_publish) {
    auto& fleet = scene().fleet;
    BundleWatch bundles;
    const int kills = test::at_full_length() ? 60 : 20;
    int caught = 0;
    for (int i = 0; i < kills || (caught == 0 && i < 3 * kills); ++i) {
        const std::string victim = i / 2 % 2 == 0 ? "o1" : "o2";
        // A new revision of each epoch is on its way then.
        test::Process order({STEK_STEKCTL, "rotate", "--config", fleet.config(victim)}, {},
                            fleet.in("rotate.log"));
        if (i % 2 == 0)
            std::this_thread::sleep_for(std::chrono::milliseconds(7 * i % 150));
        else
            while (order.running() && !holds_unpublished_bundle(victim))
                std::this_thread::sleep_for(std::chrono::microseconds(200));
        fleet.kill(victim);
        caught += holds_unpublished_bundle(victim) ? 1 : 0;
        order.stop();
        fleet.start(victim);
        BOOST_TEST_REQUIRE(eventually([&] { return fleet.is_ready(victim); }, patience), fleet.log(victim));
        // Locations look at no more than 32 revisions of an epoch.
        if (test::at_full_length())
            std::this_thread::sleep_for(std::chrono::seconds(1));
    }
    BOOST_TEST_MESSAGE(caught << " kills between a bundle and its publication");
    BOOST_TEST(caught > 0);
    scene().expect_healed();
    BOOST_TEST(bundles.check() > 8U);
    for (const auto& vault : {"fra1-v1", "fra1-v2", "ams1-v1"})
        BOOST_TEST(!fleet.says(vault, "two hourly keys"), fleet.log(vault));
}

BOOST_AUTO_TEST_CASE(both_origins_are_killed_and_come_back) {
    auto& fleet = scene().fleet;
    BundleWatch bundles;
    for (const auto& origin : {"o1", "o2"})
        fleet.kill(origin);
    // While there are keys; or until there are none.
    scene().let_epochs_pass(test::at_full_length() ? 10 : 2);
    for (const auto& origin : {"o1", "o2"})
        fleet.start(origin);
    scene().expect_healed();
    BOOST_TEST(bundles.check() > 0U);
}

// --- machines ---

BOOST_AUTO_TEST_CASE(a_machine_is_booted) {
    auto& fleet = scene().fleet;
    const auto lose = [&](const std::string& machine) {
        fs::remove(fleet.keyring(machine));
        for (const auto& token : fs::directory_iterator(fleet.host(machine) + "/tokens"))
            if (test::read_file(token.path() / "token.object").find(machine + "-ticket") != std::string::npos)
                fs::remove_all(token.path());
        fs::remove_all(fleet.host(machine) + "/pins");
    };
    // With its server.
    scene().stop_load("fra1-m1");
    fleet.server("fra1-m1").stop();
    fleet.kill("fra1-m1");
    lose("fra1-m1");
    BOOST_TEST(!fleet.is_well("fra1-m1"));
    fleet.server("fra1-m1").restart();
    scene().start_load("fra1-m1");
    fleet.start("fra1-m1");
    // Under its server's feet.
    fleet.kill("ams1-m1");
    lose("ams1-m1");
    fleet.start("ams1-m1");
    scene().expect_healed();
}

// --- clocks ---

BOOST_AUTO_TEST_CASE(clocks_of_machines_are_an_hour_off) {
    auto& fleet = scene().fleet;
    const std::map<std::string, std::int64_t> off{{"fra1-m1", 3600}, {"ams1-m1", -3600}};
    for (const auto& [machine, seconds] : off) {
        fleet.stop(machine);
        fleet.start(machine, clock_off_by(seconds));
    }
    fleet.expect_new_keys({"fra1-m2", "ams1-m2"});
    (void)scene().check_handshakes();
    for (const auto& [machine, seconds] : off) {
        BOOST_TEST(fleet.runs(machine), fleet.log(machine));
        fleet.stop(machine);
        fleet.start(machine);
    }
    scene().expect_healed();
}

BOOST_AUTO_TEST_CASE(clocks_of_vaults_are_a_year_ahead) {
    auto& fleet = scene().fleet;
    const std::vector<std::string> ahead{"fra1-v1", "ams1-v1"};
    for (const auto& vault : ahead) {
        fleet.stop(vault);
        fleet.start(vault, clock_off_by(year));
    }
    // The other vault of fra1 goes on.
    fleet.expect_new_keys(fleet.site("fra1").machines);
    (void)scene().check_handshakes();
    for (const auto& vault : ahead) {
        BOOST_TEST(fleet.runs(vault), fleet.log(vault));
        fleet.stop(vault);
        fleet.start(vault);
    }
    // Each by itself: its chain is not lost.
    fleet.stop("fra1-v2");
    fleet.expect_new_keys(fleet.machines());
    fleet.start("fra1-v2");
    scene().expect_healed();
}

// --- the engine's directory ---

BOOST_AUTO_TEST_CASE(the_engine_is_emptied) {
    auto& fleet = scene().fleet;
    const auto fra1 = scene().names_in("fra1-m1");
    // Somebody may put something back while it is removed.
    for (const auto& bucket : fs::directory_iterator(fleet.engine())) {
        std::error_code busy;
        while (fs::remove_all(bucket.path(), busy), busy == std::errc::directory_not_empty)
            busy.clear();
    }
    scene().expect_healed();
    scene().check_names("fra1-m1", fra1);
    for (const auto& what : {"stek-fleet/list", "stek-location-fra1/machines", "stek-location-ams1/machines"})
        BOOST_TEST(eventually([&] { return fs::exists(fleet.engine(what)); }, patience), what);
}

BOOST_AUTO_TEST_CASE(the_engine_is_gone_and_comes_back) {
    auto& fleet = scene().fleet;
    fs::rename(fleet.in("share/engine"), fleet.in("share/away"));
    scene().let_epochs_pass(2);
    // Who is started meanwhile has what it has: that is no reason to be killed as one whose start has failed.
    for (const auto* party : {"o2", "fra1-v2", "fra1-m1"}) {
        fleet.stop(party);
        fleet.start(party);
        BOOST_TEST(eventually([&] { return fleet.is_ready(party); }, patience), fleet.log(party));
    }
    fs::rename(fleet.in("share/away"), fleet.in("share/engine"));
    scene().expect_healed();
}

BOOST_AUTO_TEST_CASE(the_engine_cannot_be_written) {
    const auto share = scene().fleet.in("share");
    const auto remount = [&](unsigned long flags) {
        return ::mount(nullptr, share.c_str(), nullptr, MS_REMOUNT | MS_BIND | flags, nullptr) == 0;
    };
    // While somebody writes it is busy.
    BOOST_TEST_REQUIRE(eventually([&] { return remount(MS_RDONLY); }, patience));
    scene().let_epochs_pass(2);
    BOOST_TEST_REQUIRE(remount(0));
    scene().expect_healed();
}

BOOST_AUTO_TEST_CASE(the_engine_is_full) {
    scene().fleet.disk->fill();
    scene().let_epochs_pass(2);
    scene().fleet.disk->free();
    scene().expect_healed();
}

// --- in the end ---

BOOST_AUTO_TEST_CASE(everybody_says_that_all_is_well) {
    auto& fleet = scene().fleet;
    BOOST_TEST(
        eventually([&] { return fleet.fleet({"status"}, "root").exit_code == daemon::exit_ok; }, patience),
        fleet.fleet({"status"}, "root").output);
}
