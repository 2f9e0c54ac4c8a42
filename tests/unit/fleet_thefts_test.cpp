// What a thief opens who holds two things of a fleet, until when, and how it shows: docs/threat-model.md.
#define BOOST_TEST_MODULE fleet_thefts
#include "theft_scene.hpp"

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;

// --- a vault copy, and what the engine shows ---

BOOST_FIXTURE_TEST_CASE(an_old_vault_copy_opens_what_that_vault_had_no_pre_keys_for, TheftScene) {
    live(start);
    auto thief = steal(first);
    for (auto epoch = start + 1; epoch <= start + 6; ++epoch)
        live(epoch);
    auto expected = from_to(start, start + 4);  // that it has pre-keys for
    BOOST_TEST(opened(thief) == expected, boost::test_tools::per_element());

    // It is off from now on. Its pre-keys are there for four epochs more.
    for (auto epoch = start + 7; epoch <= start + 12; ++epoch)
        live(epoch, {&second});
    std::ranges::copy(from_to(start + 11, start + 15), std::back_inserter(expected));
    BOOST_TEST(opened(thief) == expected, boost::test_tools::per_element());
    BOOST_TEST((origin.origin.report().without_pre_key == std::vector{vault1.entry.number}));
    BOOST_TEST(says(status(start + 12).problems, "vault vault-1 of location fra1 is enrolled and silent"));

    scene.retire(vault1);
    live(start + 13, {&second});
    live(start + 14, {&second});
    BOOST_TEST(machine_keys.contains({start + 17, 0}));
    BOOST_TEST(opened(thief) == expected, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(retired_at_once_a_vault_opens_no_more_of_the_epochs_that_are_prepared, TheftScene) {
    live(start, {&second});
    auto thief = steal(first);
    BOOST_TEST(opened(thief) == from_to(start, start + 3), boost::test_tools::per_element());
    scene.retire(vault1);
    origin.origin.renew(at(start, 300), hours);
    second.run(at(start, 360));
    look();
    for (auto epoch = start; epoch <= start + 3; ++epoch)
        BOOST_TEST(machine_keys.contains({epoch, 1}));
    BOOST_TEST(opened(thief, 1).empty());
}

// --- a vault copy, and the engine to write to ---

BOOST_FIXTURE_TEST_CASE(who_erases_a_vault_s_pre_keys_in_time_opens_what_is_sealed_without_them, TheftScene) {
    live(start);
    auto thief = steal(first);
    for (auto epoch = start + 1; epoch <= start + 8; ++epoch)
        live(epoch, {&first, &second}, [&] {
            BOOST_TEST(status(epoch).problems.empty(), boost::test_tools::per_element());
            if (epoch < start + 5 || epoch == start + 7)
                return;
            erase_pre_keys("vault-1");
            BOOST_TEST(says(status(epoch).problems, "vault vault-1 of location fra1 is enrolled and silent"));
        });
    // The bundle of three epochs on, each time; the vault opens these, too.
    auto expected = from_to(start, start + 4);
    expected.insert(expected.end(), {start + 8, start + 9, start + 11});
    BOOST_TEST(opened(thief) == expected, boost::test_tools::per_element());
    BOOST_TEST(first.alarms().empty(), boost::test_tools::per_element());
    BOOST_TEST((origin.origin.report().without_pre_key == std::vector{vault1.entry.number}));
    BOOST_TEST(engine.list(bucket::pre_keys, "vault-1.").size() == 5U);  // put back

    scene.retire(vault1);
    live(start + 9, {&second}, [&] { erase_pre_keys("vault-1"); });
    BOOST_TEST(machine_keys.contains({start + 12, 0}));
    BOOST_TEST(opened(thief) == expected, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(a_thief_s_own_pre_key_opens_for_him_and_not_for_its_vault, TheftScene) {
    live(start);
    live(start + 1);
    auto thief = steal(first);
    const auto name = pre_key_key("vault-1", start + 5);
    live(start + 2, {&first, &second}, [&] {
        engine.put(bucket::pre_keys, name, thief.own_pre_key(start + 5));
        BOOST_TEST(status(start + 2).problems.empty(), boost::test_tools::per_element());
        BOOST_TEST(status(start + 2).locations.at(0).pre_keys_left() == 5U);
    });
    BOOST_TEST(opened(thief) == from_to(start + 1, start + 5), boost::test_tools::per_element());
    BOOST_TEST(says(first.alarms(), "bundle 500005.0 is not used, its share does not open"));
    BOOST_TEST(second.alarms().empty(), boost::test_tools::per_element());

    // The vault has put its own back, so the next bundle that he is too late for is closed to him.
    live(start + 3);
    BOOST_TEST(machine_keys.contains({start + 6, 0}));
    BOOST_TEST(opened(thief) == from_to(start + 1, start + 5), boost::test_tools::per_element());
    const auto pre_key = decode_pre_key(body_of(*engine.get(bucket::pre_keys, name)));
    BOOST_TEST((pre_key.key == first.token.pre_key(start + 5)->point));
}

BOOST_FIXTURE_TEST_CASE(what_a_location_s_only_vault_cannot_open_nobody_seals_under, TheftScene) {
    scene.retire(vault2);
    live(start, {&first});
    auto thief = steal(first);
    live(start + 1, {&first}, [&] {
        engine.put(bucket::pre_keys, pre_key_key("vault-1", start + 4), thief.own_pre_key(start + 4));
    });
    BOOST_TEST(thief.open(bundles.at({start + 4, 0}), scene.id()).has_value());
    BOOST_TEST(!machine_keys.contains({start + 4, 0}));
}

// --- the engine to write to, and a vault copy of a later day ---

BOOST_FIXTURE_TEST_CASE(bundles_that_are_kept_from_one_vault_open_by_a_later_copy_of_it, TheftScene) {
    live(start);
    first.view.from_epoch = start + 4;
    for (auto epoch = start + 1; epoch <= start + 12; ++epoch) {
        live(epoch);
        BOOST_TEST(status(epoch).problems.empty(), boost::test_tools::per_element());
        BOOST_TEST(first.alarms().empty(), boost::test_tools::per_element());
    }
    BOOST_TEST((first.token.chain_epoch() == start + 3));
    BOOST_TEST(first.location.report().last_epoch == start + 3);
    BOOST_TEST((second.token.chain_epoch() == start + 12));
    auto thief = steal(first), other = steal(second);
    BOOST_TEST(opened(thief) == from_to(start + 3, start + 15), boost::test_tools::per_element());
    BOOST_TEST(opened(other) == from_to(start + 12, start + 15), boost::test_tools::per_element());

    // It ends with the first bundle that comes through.
    first.view.from_epoch.reset();
    live(start + 13);
    BOOST_TEST((first.token.chain_epoch() == start + 13));
    auto late = steal(first);
    BOOST_TEST(opened(late) == from_to(start + 13, start + 16), boost::test_tools::per_element());
}

// A token keeps so many pre-keys, and its chain key for as long as it takes.
BOOST_FIXTURE_TEST_CASE(what_is_kept_from_a_vault_for_days_opens_where_its_pre_keys_were_erased, TheftScene) {
    live(start);
    first.view.from_epoch = start + 4;
    for (auto epoch = start + 1; epoch <= start + 36; ++epoch)
        live(epoch, {&first, &second}, [&] {
            if (epoch >= start + 30)
                erase_pre_keys("vault-1");
        });
    BOOST_TEST(first.token.pre_keys().size() == most_pre_keys);
    auto thief = steal(first);
    auto expected = from_to(start + 3, start + 29);
    std::ranges::copy(from_to(start + 33, start + 39), std::back_inserter(expected));
    BOOST_TEST(opened(thief) == expected, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(bundles_that_are_kept_from_the_only_vault_seal_nothing, TheftScene) {
    scene.retire(vault2);
    live(start, {&first});
    first.view.from_epoch = start + 4;
    for (auto epoch = start + 1; epoch <= start + 12; ++epoch)
        live(epoch, {&first});
    auto thief = steal(first);
    BOOST_TEST(thief.open(bundles.at({start + 8, 0}), scene.id()).has_value());
    BOOST_TEST(machine_keys.size() == 4U);
    BOOST_TEST(opened(thief) == Epochs{start + 3}, boost::test_tools::per_element());
    BOOST_TEST(says(status(start + 12).problems, "location fra1 is 9 epochs behind"));
    // Let through, what is over seals no more.
    first.view.from_epoch.reset();
    live(start + 12, {&first});
    for (const auto& name : engine.list(scene.bucket(), all_records)) {
        const auto record = decode_record(body_of(*engine.get(scene.bucket(), name)));
        BOOST_TEST((record.key.epoch <= start + 3 || record.key.epoch >= start + 12 ||
                    record.seal_until <= at(start + 12).wall));
    }
}

// --- a vault copy, and an origin's token ---

namespace {

/// What a thief signs with an origin's token: its hourly key he knows.
class Forger {
  public:
    explicit Forger(TheftScene& scene) : scene_(&scene) { fill_at_random(hourly_.span()); }

    Octets sign(KeyId key) {
        KnownLists lists("", scene_->scene.root().point, "");
        (void)lists.refresh(scene_->engine);
        const auto recipients = recipients_for(key.epoch, lists, scene_->engine);
        return mint(key, {}, recipients.all, scene_->origin1.self, scene_->origin1.entry.number, hours,
                    [this](std::span<std::uint8_t> out) { std::ranges::copy(hourly_.bytes(), out.data()); });
    }
    void put(KeyId key) { scene_->engine.put(bucket::hourly, bundle_key(key), sign(key)); }
    /// Whether that is the machine's key.
    bool has(VaultCopy& copy, KeyId key) {
        const auto found = scene_->machine_keys.find(key);
        return found != scene_->machine_keys.end() && copy.derive(key, hourly_) == found->second;
    }

  private:
    TheftScene* scene_;
    HourlyKey hourly_;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(who_signs_bundles_and_has_a_vault_copy_has_the_keys_of_these, TheftScene) {
    live(start);
    auto thief = steal(first);
    for (auto epoch = start + 1; epoch <= start + 9; ++epoch)
        live(epoch);
    Forger forger(*this);
    live(start + 10, {&first, &second}, [&] { forger.put({start + 13, 0}); });
    BOOST_TEST(forger.has(thief, {start + 13, 0}));
    BOOST_TEST(!forger.has(thief, {start + 12, 0}));
    BOOST_TEST(opened(thief) == from_to(start, start + 4), boost::test_tools::per_element());
    BOOST_TEST(origin.origin.report().alarms.empty(), boost::test_tools::per_element());
    BOOST_TEST(first.alarms().empty(), boost::test_tools::per_element());

    // Too late for an epoch, he signs its next revision: also of the one that is.
    forger.put({start + 10, 1});
    live(start + 10);
    BOOST_TEST(forger.has(thief, {start + 10, 1}));
    BOOST_TEST(scene.record(vault1, web1, {start + 10, 1})->seal_until == at(start + 11, 0).wall);
    BOOST_TEST(origin.origin.report().alarms.empty(), boost::test_tools::per_element());
    BOOST_TEST(first.alarms().empty(), boost::test_tools::per_element());

    // Put in another's place it is told and not used.
    const auto name_before = scene.record(vault1, web1, {start + 12, 0})->name;
    forger.put({start + 12, 0});
    first.run(at(start + 10, 240));
    origin.run(at(start + 10, 300));
    BOOST_TEST(says(origin.origin.report().alarms, "two hourly keys for one epoch and revision"));
    BOOST_TEST(says(first.alarms(), "has signed another one than the one that was seen first"));
    BOOST_TEST((scene.record(vault1, web1, {start + 12, 0})->name == name_before));

    forger.put({start + 11, 1});
    live(start + 10);
    scene.retire(origin1);
    forger.put({start + 14, 0});
    live(start + 11);
    BOOST_TEST(!machine_keys.contains({start + 14, 0}));
    BOOST_TEST(machine_keys.contains({start + 14, 1}));
    BOOST_TEST(machine_keys.contains({start + 13, 1}));  // his is void
    BOOST_TEST(!forger.has(thief, {start + 14, 1}));
    // The revision that was taken while he was believed is in use until somebody makes the next.
    BOOST_TEST(forger.has(thief, {start + 11, 1}));
    BOOST_TEST(!machine_keys.contains({start + 11, 2}));
    origin.origin.renew(at(start + 11, 300), hours);
    first.run(at(start + 11, 360));
    look();
    BOOST_TEST(machine_keys.contains({start + 11, 2}));
    BOOST_TEST(!forger.has(thief, {start + 11, 2}));
}

// --- a retired vault's token, and the engine to write to ---

BOOST_FIXTURE_TEST_CASE(an_origin_that_is_shown_an_older_list_seals_to_a_retired_vault, TheftScene) {
    live(start);
    auto thief = steal(first);
    const auto older = *engine.get(bucket::fleet, KnownLists::fleet_key);
    scene.retire(vault1);
    SceneParty& enrolled_since = scene.add_origin("origin-3");
    scene.publish_lists();
    const auto newest = *engine.get(bucket::fleet, KnownLists::fleet_key);
    live(start + 1, {&second});
    engine.put(bucket::fleet, KnownLists::fleet_key, older);
    live(start + 2, {&second});  // both know better
    BOOST_TEST(machine_keys.contains({start + 5, 0}));
    BOOST_TEST(opened(thief) == from_to(start, start + 3), boost::test_tools::per_element());

    OriginAtWork later(scene, engine, enrolled_since, workspace.subdirectory("state"));
    BOOST_CHECK_THROW(later.run(at(start + 3)), FrameError);
    const auto informed_state = workspace.subdirectory("state");
    KnownLists(informed_state, scene.root().point, "").offer(newest);  // leaves fleet.list there
    OriginAtWork informed(scene, engine, origin1, informed_state);
    informed.run(at(start + 3));
    offer_pairs(start + 3);
    second.run(at(start + 3));
    OriginAtWork fresh(scene, engine, origin1, workspace.subdirectory("state"));
    fresh.run(at(start + 4));
    offer_pairs(start + 4);
    second.run(at(start + 4));
    look();
    auto expected = from_to(start, start + 3);
    BOOST_TEST(machine_keys.contains({start + 6, 0}));
    expected.push_back(start + 7);
    BOOST_TEST(opened(thief) == expected, boost::test_tools::per_element());
    BOOST_TEST(second.alarms().empty(), boost::test_tools::per_element());
    const auto seen = gather_fleet_status(config, engine, newest, at(start + 4).wall);
    BOOST_TEST(says(seen.problems, "the list in the engine is not used: "));

    engine.put(bucket::fleet, KnownLists::fleet_key, newest);
    fresh.run(at(start + 5));
    offer_pairs(start + 5);
    second.run(at(start + 5));
    look();
    BOOST_TEST(machine_keys.contains({start + 8, 0}));
    BOOST_TEST(opened(thief) == expected, boost::test_tools::per_element());
}
