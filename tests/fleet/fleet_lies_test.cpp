// A fleet under load whose engine tells lies: other bundles, replays, what strangers and retired parties
// sign, noise. No handshake fails, no key becomes another one, and everybody gets the next ones.
#define BOOST_TEST_MODULE fleet_lies
#include "daemon/fleet/bundle_mint.hpp"
#include "daemon/fleet/engine_keys.hpp"
#include "tests/fleet/faults_scene.hpp"
#include "tests/fleet/forger.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;
using test::eventually;

namespace {

namespace fs = std::filesystem;

/// Everybody is well; and of each kind there is a party that is retired.
struct Scene : FaultsScene {
    Scene();
    ~Scene();
    void retire_one_of_each();
    [[nodiscard]] std::vector<InEngine> everything() const { return all_in(*engine, {"fra1", "ams1"}); }

    std::unique_ptr<Engine> engine = fleet.open_engine();
    FleetId id = fleet_id_of(fleet.root());
    Frame old_list, old_machines;  ///< in which those are active still
};

Scene* current = nullptr;

Scene& scene() {
    return *current;
}

Scene::Scene() {
    current = this;
    retire_one_of_each();
    fleet.start_all();
    BOOST_TEST_REQUIRE(eventually([&] { return fleet.all_well(); }, patience), fleet.logs());
    for (const auto& machine : fleet.machines())
        start_load(machine);
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

/// The lists that are in force: what lies there instead, stays until the next is signed.
class TrueLists {
  public:
    TrueLists() {
        for (const auto& what : scene().everything())
            if (what.kind == Kind::list)
                lists_.emplace_back(what, scene().engine->get(what.bucket, what.key).value());
    }
    ~TrueLists() {
        for (const auto& [what, frame] : lists_)
            scene().engine->put(what.bucket, what.key, frame);
    }
    TrueLists(const TrueLists&) = delete;
    TrueLists& operator=(const TrueLists&) = delete;

  private:
    std::vector<std::pair<InEngine, Frame>> lists_;
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

}  // namespace

BOOST_AUTO_TEST_CASE(another_bundle_in_the_place_of_one_that_is_pinned) {
    auto& fleet = scene().fleet;
    const KeyId key{fleet.epoch_now() + 3, 0};
    BOOST_TEST_REQUIRE(eventually(
                           [&] {
                               return scene().names_in("ams1-m1").contains(key) &&
                                      scene().names_in("fra1-m1").contains(key);
                           },
                           patience),
                       fleet.logs());
    const auto fra1 = scene().names_in("fra1-m1"), ams1 = scene().names_in("ams1-m1");
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
    scene().check_names("fra1-m1", fra1);
    scene().check_names("ams1-m1", ams1);
}

BOOST_AUTO_TEST_CASE(replays_of_other_epochs_machines_and_locations) {
    auto& fleet = scene().fleet;
    const TrueLists lists;
    const Ears ears(fleet);
    const auto fra1 = scene().names_in("fra1-m1");
    const auto replay = [&](const std::string& from_bucket, const std::string& from,
                            const std::string& to_bucket, const std::string& to) {
        if (const auto frame = scene().engine->get(from_bucket, from))
            scene().engine->put(to_bucket, to, *frame);
    };
    const auto in_fra1 = bucket::of_location("fra1"), in_ams1 = bucket::of_location("ams1");
    const auto now = fleet.epoch_now();
    // Those of the past, too: nobody makes their records anew before they are seen.
    for (auto epoch = now - 4; epoch <= now + 3; ++epoch) {
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
    BOOST_TEST(ears.hear({"fra1-m1"}, "it is for machine"));
    BOOST_TEST(ears.hear({"fra1-v1", "fra1-v2"}, "replayed in another's place"));
    scene().expect_healed();
    scene().check_names("fra1-m1", fra1);
}

// By the same names and numbers: of another fleet; by somebody who is in no list; by who has no such key.
BOOST_DATA_TEST_CASE(whatever_strangers_sign, boost::unit_test::data::make({0, 1, 2}), who) {
    const TrueLists lists;
    const auto fra1 = scene().names_in("fra1-m1");
    const auto stranger = hpke::make_key();
    Forger forger{scene().id, stranger.get(), {}};
    if (who == 0)
        forger.fleet = fleet_id_of(hpke::point_of(stranger.get()));
    if (who == 1)
        forger.number = 4711;
    const Ears ears(scene().fleet);
    forge(forger, {Kind::bundle, Kind::pre_key, Kind::pair, Kind::record, Kind::list});
    BOOST_TEST(ears.hear({"o1", "o2"}, "was written over, and is put back"));
    BOOST_TEST(ears.hear({"fra1-m1"}, ": record: "));
    for (const auto& party : {"o1", "fra1-v1", "ams1-m1"})
        BOOST_TEST(ears.hear({party}, "not taken from stek-fleet/list"), party);
    scene().expect_healed();
    scene().check_names("fra1-m1", fra1);
}

BOOST_AUTO_TEST_CASE(whatever_retired_parties_sign) {
    auto& fleet = scene().fleet;
    const auto fra1 = scene().names_in("fra1-m1");
    const auto number_of = [](const PartyList* list, const char* name) { return list->find(name)->number; };
    const auto lists = fleet.lists("fra1");
    const auto forge_as = [&](const char* name, PartyNumber number, const std::set<Kind>& kinds) {
        PartyTokens tokens(fleet.config(name));
        const auto self = tokens.identity(scene().id);
        forge({scene().id, self.signing.key.get(), number}, kinds);
    };
    const Ears ears(scene().fleet);
    forge_as("o9", number_of(lists.fleet(), "o9"), {Kind::bundle});
    forge_as("fra1-v9", number_of(lists.fleet(), "fra1-v9"), {Kind::record, Kind::pre_key});
    forge_as("fra1-m9", number_of(lists.machines(), "fra1-m9"), {Kind::pair});
    BOOST_TEST(ears.hear({"o1", "o2"}, "was written over, and is put back"));
    BOOST_TEST(ears.hear({"fra1-m1"}, "who is retired"));
    scene().expect_healed();
    scene().check_names("fra1-m1", fra1);
}

BOOST_AUTO_TEST_CASE(noise_and_cut_files_under_each_key) {
    const TrueLists lists;
    const auto fra1 = scene().names_in("fra1-m1");
    const auto path_of = [](const std::string& bucket, const std::string& key) {
        return fs::path(scene().fleet.engine(bucket + "/" + key));
    };
    // In place, as no stekd writes; 10 MB, of which the disk holds but the beginning.
    const auto write_noise = [](const fs::path& path) {
        std::ofstream(path, std::ios::binary | std::ios::trunc) << std::string(4096, '\xA5');
        fs::resize_file(path, 10'000'000);
    };
    for (const auto& what : scene().everything())
        write_noise(path_of(what.bucket, what.key));
    // Where nobody writes over it.
    for (const std::uint32_t revision : {20U, 21U, 22U})
        write_noise(path_of(bucket::hourly, bundle_key({scene().fleet.epoch_now() + 1, revision})));
    scene().expect_healed();
    // To half of it, and to nothing.
    for (const std::uintmax_t part : {2U, 0U}) {
        for (const auto& what : scene().everything()) {
            const auto path = path_of(what.bucket, what.key);
            std::error_code gone;  // it is over
            const auto size = fs::file_size(path, gone);
            if (!gone)
                fs::resize_file(path, part == 0 ? 0 : size / part, gone);
        }
        scene().expect_healed();
    }
    scene().check_names("fra1-m1", fra1);
}
