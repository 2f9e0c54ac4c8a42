// A fleet under load with a NATS server at each of three sites, whose networks fall apart: no handshake
// fails, who is with the majority gets keys meanwhile, and afterwards everybody has the newest.
#define BOOST_TEST_MODULE nats_partition
#include "tests/fixtures/full_length.hpp"
#include "tests/fixtures/other_hosts.hpp"
#include "tests/nats/nats_scene.hpp"

#include <optional>

using namespace stek::tests;
using stek::test::OtherHosts;

namespace {

enum Host : std::size_t { fra, ams, nyc, hosts_count };

/// First of all: what comes is made in its network.
struct Network {
    stek::test::Workspace logs{"hosts"};
    OtherHosts hosts{hosts_count, logs.path()};

    [[nodiscard]] std::vector<NatsHost> nats_hosts() const {
        std::vector<NatsHost> all;
        for (std::size_t host = 0; host < hosts.size(); ++host)
            all.push_back({OtherHosts::address(host), hosts.on(host)});
        return all;
    }
};

struct Scene : Network, NatsScene {
    Scene()
        : NatsScene({{"fra1", {"fra1-v1"}, {"fra1-m1", "fra1-m2"}},
                     {"ams1", {"ams1-v1"}, {"ams1-m1", "ams1-m2"}},
                     {"nyc1", {"nyc1-v1"}, {"nyc1-m1"}}},
                    nats_hosts()) {
        const auto live = [&](Host host, std::initializer_list<const char*> parties) {
            for (const auto* party : parties)
                fleet.on[party] = hosts.on(host);
        };
        live(fra, {"o1", "fra1-v1", "fra1-m1", "fra1-m2"});
        live(ams, {"o2", "ams1-v1", "ams1-m1", "ams1-m2"});
        live(nyc, {"nyc1-v1", "nyc1-m1"});
        current = this;
    }
    ~Scene() { current = nullptr; }
    static inline Scene* current = nullptr;
};

Scene& scene() {
    return *Scene::current;
}

OtherHosts& hosts() {
    return scene().hosts;
}

BOOST_TEST_GLOBAL_FIXTURE(Scene);

}  // namespace

BOOST_AUTO_TEST_CASE(a_fleet_comes_up) {
    scene().start_all();
    scene().expect_healed_in_time("start");
}

BOOST_AUTO_TEST_CASE(a_location_is_cut_off) {
    hosts().cut(fra);
    const auto epoch = scene().fleet.epoch_now();
    scene().fleet.expect_new_keys({"ams1-m1", "ams1-m2", "nyc1-m1"});
    BOOST_TEST((scene().fleet.epoch_now() >= epoch + 3));
    // What was made for fra1 before it was cut off does not reach that far.
    BOOST_TEST((scene().fleet.newest_epoch("fra1-m1") < scene().fleet.newest_epoch("ams1-m1")));
    hosts().mend(fra);
    scene().expect_healed_in_time("a location cut off");
}

BOOST_AUTO_TEST_CASE(two_locations_are_cut_from_each_other) {
    hosts().cut(fra, ams);
    scene().let_epochs_pass(4);
    hosts().mend(fra, ams);
    scene().expect_healed_in_time("two locations cut from each other");
}

BOOST_AUTO_TEST_CASE(each_is_alone) {
    for (const auto epochs :
         stek::test::at_full_length() ? std::vector<unsigned>{3, 30} : std::vector<unsigned>{3}) {
        for (const auto host : {fra, ams, nyc})
            hosts().cut(host);
        scene().let_epochs_pass(epochs);
        for (const auto host : {fra, ams, nyc})
            hosts().mend(host);
        scene().expect_healed_in_time("each alone for " + std::to_string(epochs) + " epochs");
    }
}

BOOST_AUTO_TEST_CASE(a_network_that_flaps) {
    const unsigned times = stek::test::at_full_length() ? 40 : 8;
    for (unsigned i = 0; i < times; ++i) {
        hosts().cut(i % hosts_count);
        std::this_thread::sleep_for(std::chrono::milliseconds(1500));
        hosts().mend(i % hosts_count);
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
    }
    scene().expect_healed_in_time("a network that flaps");
}
