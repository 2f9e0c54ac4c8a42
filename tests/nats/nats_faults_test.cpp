// A fleet on three NATS servers under load, while the servers are killed, emptied, stopped and out of reach,
// and certificates run out: no handshake fails, and afterwards everybody has the newest keys.
#define BOOST_TEST_MODULE nats_faults
#include "daemon/fleet/certificates.hpp"
#include "tests/fixtures/full_length.hpp"
#include "tests/nats/nats_scene.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;
using test::eventually;

namespace {

namespace fs = std::filesystem;

constexpr unsigned servers = 3;

struct Scene : NatsScene {
    Scene()
        : NatsScene({{"fra1", {"fra1-v1", "fra1-v2"}, {"fra1-m1", "fra1-m2"}},
                     {"ams1", {"ams1-v1"}, {"ams1-m1", "ams1-m2"}}},
                    std::vector<NatsHost>(servers)) {
        current = this;
    }
    ~Scene() { current = nullptr; }
    static inline Scene* current = nullptr;
};

Scene& scene() {
    return *Scene::current;
}

NatsServers& nats() {
    return *scene().fleet.nats;
}

BOOST_TEST_GLOBAL_FIXTURE(Scene);

void all(void (*act)(unsigned)) {
    for (unsigned i = 0; i < servers; ++i)
        act(i);
}

void start_all() {
    all([](unsigned i) { nats().start(i); });
    nats().await_leader();
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_fleet_comes_up) {
    scene().start_all();
    scene().expect_healed_in_time("start");
}

BOOST_AUTO_TEST_CASE(a_leader_is_killed_in_a_rotation) {
    const int times = test::at_full_length() ? 20 : 3;
    for (int i = 0; i < times; ++i) {
        const auto epoch = scene().fleet.epoch_now();
        BOOST_TEST_REQUIRE(eventually([&] { return scene().fleet.epoch_now() > epoch; }));
        const auto leader = nats().leader();
        nats().kill(leader);
        scene().let_epochs_pass(2);
        nats().start(leader);
    }
    scene().expect_healed_in_time("a leader killed " + std::to_string(times) + " times");
}

BOOST_AUTO_TEST_CASE(all_are_restarted_empty) {
    all([](unsigned i) { nats().kill(i); });
    start_all();
    scene().expect_healed_in_time("all restarted");
    // Nor do they know of buckets any more.
    all([](unsigned i) { nats().kill(i); });
    all([](unsigned i) { fs::remove_all(nats().servers()[i].store); });
    start_all();
    scene().expect_healed_in_time("all restarted with nothing");
}

BOOST_AUTO_TEST_CASE(none_is_there_for_some_epochs) {
    for (const auto epochs :
         test::at_full_length() ? std::vector<std::uint64_t>{3, 30} : std::vector<std::uint64_t>{3}) {
        all([](unsigned i) { nats().kill(i); });
        scene().let_epochs_pass(epochs);
        start_all();
        scene().expect_healed_in_time("none there for " + std::to_string(epochs) + " epochs");
    }
}

BOOST_AUTO_TEST_CASE(connections_that_hang_and_flap) {
    const auto stop = [](unsigned i) { nats().process(i).signal(SIGSTOP); };
    const auto go_on = [](unsigned i) { nats().process(i).signal(SIGCONT); };
    // Half-open, for long enough that it is noticed.
    all(stop);
    std::this_thread::sleep_for(std::chrono::seconds(20));
    all(go_on);
    scene().expect_healed_in_time("half-open for 20 s");
    // Each answer takes 5 s.
    for (int i = 0; i < 4; ++i) {
        all(stop);
        std::this_thread::sleep_for(std::chrono::seconds(5));
        all(go_on);
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
    scene().expect_healed_in_time("5 s for an answer");
    for (int i = 0; i < (test::at_full_length() ? 60 : 12); ++i) {
        nats().process(static_cast<unsigned>(i) % servers).signal(SIGSTOP);
        std::this_thread::sleep_for(std::chrono::milliseconds(700));
        nats().process(static_cast<unsigned>(i) % servers).signal(SIGCONT);
    }
    scene().expect_healed_in_time("flapping");
}

BOOST_AUTO_TEST_CASE(a_certificate_runs_out_and_is_renewed) {
    auto& fleet = scene().fleet;
    const std::string machine = "ams1-m1";
    // Given out for a day, two days ago.
    fleet.environment = clock_off_by(-2LL * 86400);
    fleet.stop(machine);
    fleet.certify("machine", machine, 1);
    fleet.environment = {};
    fleet.start(machine);
    BOOST_TEST(eventually([&] { return fleet.says(machine, "machine.crt has expired"); }, patience),
               fleet.log(machine));
    fleet.stop(machine);
    fleet.certify("machine", machine);
    fleet.start(machine);
    scene().expect_healed_in_time("an expired certificate");
}

// Last: all that was stored up to here.
BOOST_AUTO_TEST_CASE(nothing_of_a_value_is_on_a_disk) {
    std::vector<std::vector<std::uint8_t>> values;
    const auto engine = scene().fleet.open_engine();
    for (const auto& bucket :
         {std::string(bucket::fleet), std::string(bucket::hourly), std::string(bucket::pre_keys),
          bucket::of_location("fra1"), bucket::of_location("ams1")})
        for (const auto& key : engine->list(bucket, ""))
            if (auto value = engine->get(bucket, key))
                values.push_back(std::move(*value));
    BOOST_TEST(values.size() > 20U);
    std::size_t files = 0;
    for (unsigned i = 0; i < servers; ++i)
        for (const auto& file : fs::recursive_directory_iterator(nats().servers()[i].store)) {
            if (!file.is_regular_file())
                continue;
            ++files;
            const auto text = test::read_file(file.path());
            for (const auto& value : values) {
                // A signature's last bytes are in no other frame.
                const std::string end(value.end() - 24, value.end());
                BOOST_TEST(text.find(end) == std::string::npos, file.path() << " has a value");
            }
        }
    BOOST_TEST(files > 0U);
}
