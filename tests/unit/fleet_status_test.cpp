// What `stekctl fleet status` makes of an engine: of what is signed, and of what is not.
#define BOOST_TEST_MODULE fleet_status
#include "daemon/fleet/fleet_status.hpp"

#include "daemon/fleet/directory_engine.hpp"
#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/root_key.hpp"
#include "tests/fixtures/location_scene.hpp"
#include "tests/fixtures/workspace.hpp"

#include <algorithm>
#include <filesystem>

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;

namespace {

constexpr std::uint64_t epoch = 500'000;
constexpr auto now = static_cast<std::int64_t>(epoch * scene_period + 60);

struct Scene {
    Scene() {
        write_root_key(workspace.path() / "root.pem", scene.root().point);
        config.root = workspace.path() / "root.pem";
        origin = &scene.add_origin("o1");
        vault = &scene.add_vault("v1");
        machine = &scene.add_machine("m1");
        scene.publish_lists();
    }
    /// As parties that work leave it.
    void fill() {
        for (auto at = epoch; at <= epoch + 3; ++at) {
            put_pre_key(*vault, "v1", at);
            scene.mint_to_engine(*origin, {at, 0});
            put_record(*vault, "m1", {at, 0});
        }
        scene.offer(*machine, epoch, 1);
    }
    void put_pre_key(const SceneParty& signer, const std::string& name, std::uint64_t of) {
        engine->put(bucket::pre_keys, pre_key_key(name, of),
                    signer.self.sign(Kind::pre_key, signer.entry.number,
                                     encode_pre_key({signer.entry.number, of, memory_key().point})));
    }
    void put_record(const SceneParty& signer, const std::string& name, KeyId key, bool revoked = false) {
        MachineRecord record;
        record.location = scene_location;
        record.machine = machine->entry.number;
        record.counter = 1;
        record.key = key;
        record.not_before = static_cast<std::int64_t>(key.epoch * scene_period);
        record.seal_until = record.not_before + static_cast<std::int64_t>(scene_period);
        record.open_until = record.seal_until + 7200;
        record.period = scene_period;
        record.name.fill(1);
        record.pair.fill(1);
        record.revoked = revoked;
        if (!revoked) {
            record.wrapped_key.assign(256, 7);
            SecretArray<admission_key_size> admission;
            seal_admission_key(record, scene.id(), machine->self.sealing->point, admission);
        }
        engine->put(scene.bucket(), record_key(name, key),
                    signer.self.sign(Kind::record, signer.entry.number, encode_record(record)));
    }
    [[nodiscard]] FleetStatus status(Bytes known = {}) const {
        return gather_fleet_status(config, *engine, known, now);
    }
    static bool says(const FleetStatus& status, const std::string& text) {
        return std::ranges::any_of(status.problems, [&](const std::string& problem) {
            return problem.find(text) != std::string::npos;
        });
    }

    test::Workspace workspace{"fleet-status"};
    std::string place = workspace.subdirectory("engine");
    std::unique_ptr<Engine> engine = make_directory_engine(place);
    LocationScene scene{*engine};
    FleetConfig config;
    SceneParty *origin, *vault, *machine;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_fleet_that_works, Scene) {
    fill();
    const auto all = status();
    BOOST_TEST(all.problems.empty(), (all.problems.empty() ? "" : all.problems.front()));
    BOOST_TEST(all.epoch == epoch);
    BOOST_TEST((all.id == scene.id()));
    BOOST_TEST((all.newest_bundle == KeyId{epoch + 3, 0}));
    BOOST_REQUIRE(all.origins.size() == 1U);
    BOOST_TEST((all.origins[0].newest_epoch == epoch + 3));
    BOOST_REQUIRE(all.locations.size() == 1U);
    const auto& location = all.locations[0];
    BOOST_TEST((location.last_epoch == epoch + 3));
    BOOST_TEST(location.lag == 0U);
    BOOST_TEST(location.pre_keys_left() == 4U);
    BOOST_TEST(location.machines.size() == 1U);
    BOOST_TEST(fleet_status_table(all).find("fra1") != std::string::npos);
    BOOST_TEST(fleet_status_table(all).find("PROBLEM") == std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(who_is_enrolled_and_silent, Scene) {
    const auto all = status();
    for (const auto* text : {"there is no bundle for epoch 500000", "origin o1 is enrolled and silent",
                             "location fra1 has made no record", "vault v1 of location fra1 is enrolled and",
                             "machine m1 of location fra1 is enrolled and silent"})
        BOOST_TEST(says(all, text), text);
    scene.retire(*machine);
    BOOST_TEST(says(status(), "location fra1 has no machine enrolled"));
    scene.retire(*vault);
    BOOST_TEST(status().locations.empty());
    scene.retire(*origin);
    BOOST_TEST(says(status(), "no origin is enrolled"));
}

BOOST_FIXTURE_TEST_CASE(a_location_that_is_behind, Scene) {
    put_record(*vault, "m1", {epoch - 5, 0});
    auto all = status();
    BOOST_TEST(all.locations.at(0).lag == 5U);
    BOOST_TEST(says(all, "location fra1 is 5 epochs behind"));
    // What was revoked is no key.
    put_record(*vault, "m1", {epoch - 1, 0}, true);
    BOOST_TEST(status().locations.at(0).lag == 5U);
    put_record(*vault, "m1", {epoch, 0});
    BOOST_TEST(status().locations.at(0).lag == 0U);
}

BOOST_FIXTURE_TEST_CASE(what_is_not_signed_as_it_must_be_counts_for_nothing, Scene) {
    auto& thief = scene.add_vault("v9", "ams1");
    scene.publish_lists();
    scene.mint_to_engine(thief, {epoch, 0});
    put_record(thief, "m1", {epoch, 0});
    put_record(*machine, "m1", {epoch + 1, 0});
    put_record(*vault, "m2", {epoch + 2, 0});  // under another's name
    put_pre_key(thief, "v1", epoch);
    engine->put(bucket::pre_keys, pre_key_key("v1", epoch + 1), engine->get(bucket::fleet, "list").value());
    engine->put(scene.bucket(), pair_key("m1", epoch), Bytes(scene.id()));
    test::write_file(std::filesystem::path(place) / bucket::pre_keys / pre_key_key("v1", epoch + 2),
                     std::string(3'000'000, 'x'));
    const auto all = status();
    BOOST_TEST(!all.newest_bundle);
    const auto& location = all.locations.at(1);
    BOOST_TEST(location.name == "fra1");
    BOOST_TEST(!location.last_epoch);
    BOOST_TEST(location.vaults.at(0).pre_keys_left == 0U);
    BOOST_TEST(!location.machines.at(0).has_pair);
}

BOOST_FIXTURE_TEST_CASE(an_engine_that_holds_back_or_nothing, Scene) {
    const auto older = engine->get(bucket::fleet, "list").value();
    scene.add_vault("v2");
    scene.publish_lists();
    const auto newest = engine->get(bucket::fleet, "list").value();
    engine->put(bucket::fleet, "list", older);
    auto all = status(newest);
    BOOST_TEST(all.serial == 2U);
    BOOST_TEST(says(all, "the list in the engine is not used: list: serial 1, but 2 is known"));
    BOOST_TEST(all.locations.at(0).vaults.size() == 2U);
    // Another's list at hand is none.
    BOOST_TEST(says(status(Bytes(scene.id())), "the list at hand is not used"));

    std::filesystem::remove_all(place);
    std::filesystem::create_directory(place);
    all = status();
    BOOST_TEST(says(all, "is empty: it holds no list and no bundle"));
    BOOST_TEST(says(all, "nobody is known to be enrolled"));
    all = status(newest);
    BOOST_TEST(says(all, "is empty"));
    BOOST_TEST(says(all, "the engine does not hold list 2"));
    BOOST_TEST(all.serial == 2U);
    BOOST_TEST(std::filesystem::is_empty(place));  // it only looks

    std::filesystem::remove_all(place);
    all = status(newest);
    BOOST_TEST(says(all, "cannot be reached"));
    BOOST_TEST(all.problems.size() == 1U);
    BOOST_TEST(all.locations.at(0).vaults.size() == 2U);
}
