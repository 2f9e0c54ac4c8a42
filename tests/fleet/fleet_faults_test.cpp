// A fleet under load while origins are killed, locations are away, the engine lies, is lost or cannot be
// written, machines are booted and clocks are wrong: no handshake fails, and afterwards everybody has the
// newest keys.
#define BOOST_TEST_MODULE fleet_faults
#include "daemon/fleet/bundle_mint.hpp"
#include "daemon/fleet/directory_engine.hpp"
#include "daemon/fleet/engine_keys.hpp"
#include "tests/fixtures/full_length.hpp"
#include "tests/fleet/faults_scene.hpp"
#include "tests/fleet/forger.hpp"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <sys/mount.h>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;
using test::eventually;

namespace {

namespace fs = std::filesystem;

constexpr unsigned period = 4, session_timeout = 60;  // seconds
constexpr std::int64_t year = 365LL * 86400, long_ago = 1030LL * period, lately = 30LL * period;

/// Two locations; and of each kind a party that is retired.
struct Scene : FaultsScene {
    Scene();
    ~Scene();
    void retire_one_of_each();
    [[nodiscard]] std::vector<InEngine> everything() const { return all_in(*engine, {"fra1", "ams1"}); }

    std::unique_ptr<Engine> engine;
    FleetId id{};
    Frame old_list, old_machines;  ///< in which those are active still
};

Scene* current = nullptr;

Scene& scene() {
    return *current;
}

Scene::Scene()
    : FaultsScene(period, session_timeout, {"o1", "o2"},
                  {{"fra1", {"fra1-v1", "fra1-v2"}, {"fra1-m1", "fra1-m2"}},
                   {"ams1", {"ams1-v1"}, {"ams1-m1", "ams1-m2"}}},
                  "16M", long_ago),
      engine(fleet.open_engine()),
      id(fleet_id_of(fleet.root())) {
    current = this;
    retire_one_of_each();
}

Scene::~Scene() {
    current = nullptr;
}

void Scene::retire_one_of_each() {
    fleet.add_origin("o9");
    fleet.add_vault("fra1-v9", "fra1");
    fleet.add_machine("fra1-m9", "fra1");
    fleet.enroll_and_approve("origin", "o9", "root");
    fleet.enroll_and_approve("location", "fra1-v9", "root");
    fleet.enroll_and_approve("machine", "fra1-m9", "fra1-v1");
    old_list = engine->get(bucket::fleet, "list").value();
    old_machines = engine->get(bucket::of_location("fra1"), "machines").value();
    fleet.done({"retire"}, "root", {"o9"});
    fleet.done({"retire"}, "root", {"fra1-v9"});
    fleet.done({"retire"}, "fra1-v1", {"fra1-m9"});
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
    std::map<std::string, Frame> seen_;
    std::string changed_;
    std::jthread thread_;  // last: it uses the others
};

/// What they say from now on.
class Ears {
  public:
    Ears() {
        for (const auto& party : scene().fleet.parties())
            before_[party] = scene().fleet.log(party).size();
    }
    /// One of them, sooner or later.
    [[nodiscard]] bool hear(const std::vector<std::string>& parties, const std::string& text) const {
        return eventually(
            [&] {
                return std::ranges::any_of(parties, [&](const auto& party) {
                    return scene().fleet.log(party).find(text, before_.at(party)) != std::string::npos;
                });
            },
            patience);
    }

  private:
    std::map<std::string, std::size_t> before_;
};

/// All of the kinds, by him.
void forge(const Forger& forger, const std::set<Kind>& kinds) {
    unsigned forged = 0;
    for (const auto& [bucket, key, kind] : scene().everything())
        if (const auto frame = scene().engine->get(bucket, key); frame && kinds.contains(kind)) {
            scene().engine->put(bucket, key, signed_by(forger, kind, *frame));
            ++forged;
        }
    BOOST_TEST(forged > 0U);
}

void let_epochs_pass(std::uint64_t epochs) {
    auto& fleet = scene().fleet;
    const auto then = fleet.epoch_now();
    BOOST_TEST_REQUIRE(eventually([&] { return fleet.epoch_now() >= then + epochs; }, patience * 10));
}

/// By key, in a machine's ring.
std::map<KeyId, KeyName> names_in(const std::string& machine) {
    std::map<KeyId, KeyName> names;
    if (const auto ring = scene().fleet.ring(machine))
        for (const auto& record : ring->records)
            names[{record->epoch, record->revision}] = record->name;
    return names;
}

/// What is in both has the same names.
void check_same_names(const std::map<KeyId, KeyName>& before, const std::map<KeyId, KeyName>& after) {
    for (const auto& [key, name] : before)
        if (const auto found = after.find(key); found != after.end())
            BOOST_TEST((found->second == name), "key " << bundle_key(key) << " is another one");
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
        let_epochs_pass(epochs);
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
    const int kills = test::at_full_length() ? 100 : 20;
    for (int i = 0; i < kills; ++i) {
        const std::string victim = i % 2 == 0 ? "o1" : "o2";
        // A new revision of each epoch is on its way then.
        test::Process order({STEK_STEKCTL, "rotate", "--config", fleet.config(victim)}, {},
                            fleet.in("rotate.log"));
        std::this_thread::sleep_for(std::chrono::milliseconds(7 * i % 150));
        fleet.kill(victim);
        order.stop();
        fleet.start(victim);
        BOOST_TEST_REQUIRE(eventually([&] { return fleet.is_ready(victim); }, patience), fleet.log(victim));
    }
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
    // No longer than there are keys.
    let_epochs_pass(test::at_full_length() ? 10 : 2);
    for (const auto& origin : {"o1", "o2"})
        fleet.start(origin);
    scene().expect_healed();
    BOOST_TEST(bundles.check() > 0U);
}

BOOST_AUTO_TEST_CASE(another_bundle_in_the_place_of_one_that_is_pinned) {
    auto& fleet = scene().fleet;
    const KeyId key{fleet.epoch_now() + 2, 0};
    BOOST_TEST_REQUIRE(
        eventually([&] { return names_in("ams1-m1").contains(key) && names_in("fra1-m1").contains(key); },
                   patience),
        fleet.logs());
    const auto fra1 = names_in("fra1-m1"), ams1 = names_in("ams1-m1");
    fleet.stop("o1");
    {
        PartyTokens o1(fleet.config("o1"));
        const auto self = o1.identity(scene().id);
        const auto lists = fleet.lists();
        const auto recipients = recipients_for(key.epoch, lists, *scene().engine);
        const auto frame =
            mint(key, {}, recipients.all, self, self.in(*lists.fleet())->number, fleet.policy(),
                 [](std::span<std::uint8_t> out) { std::ranges::fill(out, 0x5A); });
        scene().engine->put(bucket::hourly, bundle_key(key), frame);
    }
    for (const auto& vault : {"fra1-v1", "fra1-v2", "ams1-v1"})
        BOOST_TEST(eventually([&] { return fleet.says(vault, "two hourly keys for one epoch and revision"); },
                              patience),
                   fleet.log(vault));
    // Nor after a restart.
    fleet.stop("fra1-v2");
    fleet.start("fra1-v2");
    fleet.start("o1");
    scene().expect_healed();
    check_same_names(fra1, names_in("fra1-m1"));
    check_same_names(ams1, names_in("ams1-m1"));
}

// --- what is put into the engine ---

BOOST_AUTO_TEST_CASE(replays_of_other_epochs_machines_and_locations) {
    auto& fleet = scene().fleet;
    const Ears ears;
    const auto fra1 = names_in("fra1-m1");
    const auto list = scene().engine->get(bucket::fleet, "list").value();
    const auto machines = scene().engine->get(bucket::of_location("fra1"), "machines").value();
    const auto replay = [&](const std::string& from_bucket, const std::string& from,
                            const std::string& to_bucket, const std::string& to) {
        if (const auto frame = scene().engine->get(from_bucket, from))
            scene().engine->put(to_bucket, to, *frame);
    };
    const auto in_fra1 = bucket::of_location("fra1"), in_ams1 = bucket::of_location("ams1");
    const auto now = fleet.epoch_now();
    for (auto epoch = now; epoch <= now + 3; ++epoch) {
        const KeyId key{epoch, 0}, before{epoch - 1, 0};
        // Records: another epoch's, another machine's, another location's.
        replay(in_fra1, record_key("fra1-m1", before), in_fra1, record_key("fra1-m1", {epoch, 1}));
        replay(in_fra1, record_key("fra1-m2", key), in_fra1, record_key("fra1-m1", key));
        replay(in_ams1, record_key("ams1-m1", key), in_fra1, record_key("fra1-m2", key));
        // Bundles and pre-keys: another epoch's, another vault's.
        replay(bucket::hourly, bundle_key(before), bucket::hourly, bundle_key({epoch, 1}));
        replay(bucket::pre_keys, pre_key_key("ams1-v1", epoch), bucket::pre_keys,
               pre_key_key("fra1-v1", epoch));
        replay(bucket::pre_keys, pre_key_key("ams1-v1", epoch), bucket::pre_keys,
               pre_key_key("ams1-v1", epoch + 1));
    }
    for (const auto& pair : scene().engine->list(in_fra1, pairs_of("fra1-m1")))
        replay(in_fra1, pair, in_fra1, "pair.fra1-m2." + pair.substr(pair.rfind('.') + 1));
    // Lists in which those that were retired are active.
    scene().engine->put(bucket::fleet, "list", scene().old_list);
    scene().engine->put(in_fra1, "machines", scene().old_machines);
    for (const auto& party : {"o1", "fra1-v1", "fra1-m1"})
        BOOST_TEST(ears.hear({party}, "a replay"), party);
    BOOST_TEST(ears.hear({"fra1-m1"}, ": record: "));
    scene().expect_healed();
    check_same_names(fra1, names_in("fra1-m1"));
    scene().engine->put(bucket::fleet, "list", list);
    scene().engine->put(in_fra1, "machines", machines);
}

// By the same names and numbers: of another fleet; by somebody who is in no list; by who has no such key.
BOOST_DATA_TEST_CASE(whatever_strangers_sign, boost::unit_test::data::make({0, 1, 2}), who) {
    const auto fra1 = names_in("fra1-m1");
    const auto list = scene().engine->get(bucket::fleet, "list").value();
    std::map<std::string, Frame> machines;
    for (const auto* location : {"fra1", "ams1"})
        machines[location] = scene().engine->get(bucket::of_location(location), "machines").value();
    const auto stranger = hpke::make_key();
    Forger forger{scene().id, stranger.get(), {}};
    if (who == 0)
        forger.fleet = fleet_id_of(hpke::point_of(stranger.get()));
    if (who == 1)
        forger.number = 4711;
    const Ears ears;
    forge(forger, {Kind::bundle, Kind::pre_key, Kind::pair, Kind::record, Kind::list});
    BOOST_TEST(ears.hear({"o1", "o2"}, "was written over, and is put back"));
    BOOST_TEST(ears.hear({"fra1-m1"}, ": record: "));
    for (const auto& party : {"o1", "fra1-v1", "ams1-m1"})
        BOOST_TEST(ears.hear({party}, "not taken from stek-fleet/list"), party);
    scene().expect_healed();
    check_same_names(fra1, names_in("fra1-m1"));
    scene().engine->put(bucket::fleet, "list", list);
    for (const auto& [location, frame] : machines)
        scene().engine->put(bucket::of_location(location), "machines", frame);
}

BOOST_AUTO_TEST_CASE(whatever_retired_parties_sign) {
    auto& fleet = scene().fleet;
    const auto fra1 = names_in("fra1-m1");
    const auto number_of = [](const PartyList* list, const char* name) { return list->find(name)->number; };
    const auto lists = fleet.lists("fra1");
    const auto forge_as = [&](const char* name, PartyNumber number, const std::set<Kind>& kinds) {
        PartyTokens tokens(fleet.config(name));
        const auto self = tokens.identity(scene().id);
        forge({scene().id, self.signing.key.get(), number}, kinds);
    };
    const Ears ears;
    forge_as("o9", number_of(lists.fleet(), "o9"), {Kind::bundle});
    forge_as("fra1-v9", number_of(lists.fleet(), "fra1-v9"), {Kind::record, Kind::pre_key});
    forge_as("fra1-m9", number_of(lists.machines(), "fra1-m9"), {Kind::pair});
    BOOST_TEST(ears.hear({"o1", "o2"}, "was written over, and is put back"));
    BOOST_TEST(ears.hear({"fra1-m1"}, "who is retired"));
    BOOST_TEST(ears.hear({"fra1-v1", "fra1-v2"}, "who is retired"));
    scene().expect_healed();
    check_same_names(fra1, names_in("fra1-m1"));
}

BOOST_AUTO_TEST_CASE(noise_and_cut_files_under_each_key) {
    const auto fra1 = names_in("fra1-m1");
    const auto in_engine = [](const InEngine& what) {
        return fs::path(scene().fleet.engine(what.bucket + "/" + what.key));
    };
    const auto everything = scene().everything();
    std::map<fs::path, std::string> lists;
    for (const auto& what : everything)
        if (what.kind == Kind::list)
            lists[in_engine(what)] = test::read_file(in_engine(what));
    // In place, as no stekd writes; 10 MB, of which the disk holds but the beginning.
    for (const auto& what : everything) {
        std::ofstream(in_engine(what), std::ios::binary | std::ios::trunc) << std::string(4096, '\xA5');
        fs::resize_file(in_engine(what), 10'000'000);
    }
    // Where nobody would write over it.
    for (std::uint32_t revision = 1; revision < 4; ++revision) {
        const auto path = fs::path(scene().fleet.engine(
            "stek-hourly/" + bundle_key({scene().fleet.epoch_now() + 1, revision + 20})));
        std::ofstream(path) << "noise";
        fs::resize_file(path, 10'000'000);
    }
    scene().expect_healed();
    for (const auto& what : scene().everything())
        if (const auto size = fs::file_size(in_engine(what)); what.kind != Kind::list)
            fs::resize_file(in_engine(what), size / 2);
    scene().expect_healed();
    for (const auto& what : scene().everything())
        if (what.kind != Kind::list)
            fs::resize_file(in_engine(what), 0);
    scene().expect_healed();
    check_same_names(fra1, names_in("fra1-m1"));
    for (const auto& [path, list] : lists)
        test::write_file(path, list);
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
    const auto fra1 = names_in("fra1-m1");
    for (const auto& bucket : fs::directory_iterator(fleet.engine()))
        fs::remove_all(bucket.path());
    scene().expect_healed();
    check_same_names(fra1, names_in("fra1-m1"));
    for (const auto& what : {"stek-fleet/list", "stek-location-fra1/machines", "stek-location-ams1/machines"})
        BOOST_TEST(eventually([&] { return fs::exists(fleet.engine(what)); }, patience), what);
}

BOOST_AUTO_TEST_CASE(the_engine_is_gone_and_comes_back) {
    auto& fleet = scene().fleet;
    fs::rename(fleet.in("share/engine"), fleet.in("share/away"));
    let_epochs_pass(2);
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
    let_epochs_pass(2);
    BOOST_TEST_REQUIRE(remount(0));
    scene().expect_healed();
}

BOOST_AUTO_TEST_CASE(the_engine_is_full) {
    scene().fleet.disk->fill();
    let_epochs_pass(2);
    scene().fleet.disk->free();
    scene().expect_healed();
}
