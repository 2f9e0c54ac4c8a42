// A machine takes what is meant for it and nothing else, and what it has it keeps for its time and no longer.
#define BOOST_TEST_MODULE fleet_machine
#include "machine_scene.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

namespace data = boost::unit_test::data;
using namespace stek;
using namespace stek::fleet;
using daemon::KeyId;
using daemon::Policy;
using test::Killed;
using test::MachineScene;
using test::TestVault;
using test::Value;

namespace {

constexpr std::int64_t hour = 3600;

/// Settled, so that the ring has records for this epoch and three more.
struct Settled : MachineScene {
    explicit Settled(Policy chosen = {3600, 7200}) : MachineScene(chosen) { settle(); }
};

/// What is left in the place of this epoch's record is refused with that reason, and changes nothing.
void refuses(MachineScene& scene, const Value& frame, const std::string& why) {
    const KeyId place{scene.epoch(), 9};
    const auto generation = scene.ticket.ring->generation;
    const auto memory = scene.saved;
    scene.leave(place, frame);
    scene.run();
    BOOST_TEST(scene.alarms_of(why), why);
    BOOST_TEST(scene.machine->report().alarms.size() == 1U);
    BOOST_TEST(scene.ticket.ring->generation == generation);
    BOOST_TEST((scene.saved == memory));
    scene.values().erase(MachineScene::record_key(place));
}
/// The same, and nobody is alarmed.
void passes_over(MachineScene& scene, const Value& frame) {
    const KeyId place{scene.epoch(), 9};
    const auto generation = scene.ticket.ring->generation;
    scene.leave(place, frame);
    scene.run();
    BOOST_TEST(scene.machine->report().alarms.empty());
    BOOST_TEST(scene.ticket.ring->generation == generation);
    scene.values().erase(MachineScene::record_key(place));
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_new_machine_offers_pairs_and_has_keys_when_its_location_answers) {
    MachineScene scene;
    scene.run();
    BOOST_TEST(scene.offers().size() == 4U);
    for (std::uint64_t e = scene.epoch(); e <= scene.epoch() + 3; ++e) {
        const auto offer = scene.offer_for(e);
        BOOST_REQUIRE(offer);
        BOOST_TEST(offer->machine == MachineScene::own);
        BOOST_TEST(offer->location == MachineScene::location);
        BOOST_TEST(scene.ticket.held.contains(offer->pair));
    }
    BOOST_TEST(scene.records() == 0U, "a ring is there for servers to wait with");
    BOOST_TEST(scene.ticket.ring != nullptr);

    scene.pass(5);
    scene.serve();
    scene.run();
    BOOST_TEST(scene.records() == 4U);
    const KeyId key{scene.epoch(), 0};
    const auto* record = scene.record(key);
    BOOST_REQUIRE(record == scene.sealing());
    BOOST_TEST(record->not_before == MachineScene::begun);
    BOOST_TEST(record->seal_until == MachineScene::begun + hour);
    BOOST_TEST(record->open_until == MachineScene::begun + 3 * hour);
    BOOST_TEST(record->destroy_at == 1000U + 3 * 3600 + 1);
    BOOST_TEST((record->name == test::name_of_key(key)));
    SecretArray<admission_key_size> admission_key;
    BOOST_TEST(std::ranges::equal(test::admission_key_of(key, admission_key).bytes(),
                                  record->admission_key.bytes()));
    BOOST_TEST(scene.ticket.ring->location == MachineScene::location);
    BOOST_TEST(scene.ticket.ring->token_serial == "serial-1");
    BOOST_TEST(scene.ticket.ring->period == 3600U);
    BOOST_TEST(scene.is_consistent());
    BOOST_TEST(scene.machine->next(scene.now, scene.policy).edge == MachineScene::begun + hour);
    BOOST_TEST(*scene.machine->next(scene.now, scene.policy).destruction == record->destroy_at);
}

BOOST_AUTO_TEST_CASE(a_machine_new_in_mid_epoch_gets_the_key_of_that_epoch) {
    MachineScene scene;
    scene.pass(1799);
    scene.settle();
    BOOST_REQUIRE(scene.sealing() != nullptr);
    BOOST_TEST(scene.sealing()->destroy_at == 1000U + 3 * 3600 + 1, "it ends when the others' ends");
}

BOOST_AUTO_TEST_CASE(a_run_with_nothing_to_do_does_nothing) {
    Settled scene;
    const auto published = scene.ticket.published, puts = scene.engine.puts;
    const auto made = scene.ticket.made;
    for (int again = 0; again < 3; ++again) {
        scene.pass(60);
        scene.run();
    }
    scene.start();
    scene.run();
    BOOST_TEST(scene.ticket.published == published);
    BOOST_TEST(scene.engine.puts == puts);
    BOOST_TEST(scene.ticket.made == made);
    BOOST_TEST(scene.machine->report().alarms.empty());
}

BOOST_AUTO_TEST_CASE(hour_by_hour_keys_come_and_go_with_their_pairs) {
    Settled scene;
    for (int quarters = 0; quarters < 200; ++quarters) {
        scene.pass(900);
        BOOST_TEST(scene.sealing(), "servers switch at the edge by themselves");
        scene.settle();
        BOOST_TEST(scene.sealing()->epoch == scene.epoch());
        BOOST_TEST(scene.records() <= 7U);  // at the edge one has a second to live
        BOOST_TEST(scene.ticket.held.size() <= 7U);
        BOOST_TEST(scene.offers().size() == 4U);
        BOOST_TEST(scene.is_consistent());
        BOOST_TEST(scene.machine->report().alarms.empty());
    }
    BOOST_TEST(scene.machine->memory().keys.size() <= 12U, "what is over is forgotten");
}

BOOST_AUTO_TEST_CASE(short_epochs_share_pairs) {
    Settled scene({60, 120});
    BOOST_TEST(scene.offers().size() == 1U);
    BOOST_TEST(scene.records() == 4U);
    BOOST_TEST(scene.ticket.held.size() == 1U);
    for (int minutes = 0; minutes < 60; ++minutes) {
        scene.pass(60);
        BOOST_TEST(scene.sealing());
        scene.settle();
        BOOST_TEST(scene.is_consistent());
    }
    BOOST_TEST(scene.ticket.made <= 8U);
}

// --- what is no record for this machine ---

BOOST_AUTO_TEST_CASE(a_record_of_another_machine_is_refused) {
    Settled scene;
    auto record = scene.unsealed(scene.vaults[0], {scene.epoch(), 9}, scene.offers().front().pair);
    record.machine = 8;
    refuses(scene, scene.signed_by(scene.vaults[0], scene.seal(record)), "it is for machine 8");
    record.revoked = true;
    record.wrapped_key.clear();
    record.enc = {};
    record.sealed_admission_key = {};
    refuses(scene, scene.signed_by(scene.vaults[0], record), "it is for machine 8");
}

BOOST_AUTO_TEST_CASE(a_record_of_another_location_is_refused) {
    Settled scene;
    auto record = scene.unsealed(scene.vaults[0], {scene.epoch(), 9}, scene.offers().front().pair);
    refuses(scene, scene.signed_by(scene.elsewhere, scene.seal(record)), "record");
    record.location = "ams1";
    refuses(scene, scene.signed_by(scene.vaults[0], scene.seal(record)), "it is for location ams1");
}

BOOST_AUTO_TEST_CASE(a_record_is_signed_by_a_vault_that_is_active) {
    Settled scene;
    const KeyId key{scene.epoch(), 9};
    const auto pair = scene.offers().front().pair;
    TestVault nobody{77, "nobody"}, impostor{1, "vault-a"}, origin{4, "origin"}, neighbour{8, "web-2"};
    for (auto* vault : {&nobody, &impostor, &origin, &neighbour})
        refuses(scene, scene.record_frame(*vault, key, pair), "record");

    scene.sign_fleet([](PartyList& list) { list.parties[1].standing = Standing::retired; });
    refuses(scene, scene.record_frame(scene.vaults[1], key, pair), "record");
    scene.leave(key, scene.record_frame(scene.vaults[0], key, pair));
    scene.run();
    BOOST_TEST(scene.record(key));
}

BOOST_AUTO_TEST_CASE(a_record_that_somebody_touched_is_refused) {
    Settled scene;
    const KeyId key{scene.epoch(), 9};
    const auto frame = scene.record_frame(scene.vaults[0], key, scene.offers().front().pair);
    for (std::size_t at = 0; at < frame.size(); at += 7) {
        auto touched = frame;
        touched[at] ^= 1;
        refuses(scene, touched, "record");
    }
    refuses(scene, Value(frame.begin(), frame.end() - 1), "record");
    refuses(scene, Value(), "record");
    refuses(scene, Value(100'000, 0), "record");
    refuses(scene, Value(Engine::max_value + 1, 0), "too large");
}

BOOST_AUTO_TEST_CASE(a_signed_record_that_is_unfit_is_refused) {
    Settled scene;
    auto& vault = scene.vaults[0];
    const KeyId key{scene.epoch(), 9};
    const auto pair = scene.offers().front().pair;
    const auto refused = [&](const std::string& why, const std::function<void(MachineRecord&)>& spoil) {
        auto record = scene.unsealed(vault, key, pair);
        spoil(record);
        refuses(scene, scene.signed_by(vault, scene.seal(record)), why);
    };
    refused("period is 600 s", [](auto& record) { record.period = 600; });
    refused("OAEP hash", [](auto& record) { record.oaep = OaepHash::sha256; });
    refused("512 bytes for a pair of 256", [](auto& record) { record.wrapped_key.resize(512); });
    refused("its key name is another key's", [&](auto& record) {
        record.name = test::name_of_key({key.epoch, 0});
    });
    refused("not the one of that number", [&](auto& record) {
        record.key = {key.epoch, 0};
        record.name = test::name_of_key(key);
    });

    auto other_head = scene.unsealed(vault, key, pair);
    ++scene.seal(other_head).counter;
    refuses(scene, scene.signed_by(vault, other_head), "does not open");
    auto no_point = scene.unsealed(vault, key, pair);
    scene.seal(no_point).enc.back() ^= 1;
    refuses(scene, scene.signed_by(vault, no_point), "does not open");
    const auto garbage = make_frame({Kind::record, scene.self.fleet, vault.number}, Value(300, 1),
                                    test::signer_of(vault.signing));
    refuses(scene, garbage, "record");
}

BOOST_AUTO_TEST_CASE(a_record_out_of_its_time_or_without_its_pair_is_passed_over) {
    Settled scene;
    auto& vault = scene.vaults[0];
    const auto pair = scene.offers().front().pair;
    passes_over(scene, scene.record_frame(vault, {scene.epoch() - 3, 0}, pair));
    passes_over(scene, scene.record_frame(vault, {scene.epoch() + 5, 0}, pair));
    passes_over(scene, scene.record_frame(vault, {scene.epoch(), 9}, PairId{}));
    // A pair that somebody else put into the token gets nothing.
    const PairId somebodys{0xff, 0xff};
    scene.ticket.held.insert(somebodys);
    passes_over(scene, scene.record_frame(vault, {scene.epoch(), 9}, somebodys));
    BOOST_TEST(!scene.ticket.held.contains(somebodys));
}

BOOST_AUTO_TEST_CASE(an_older_record_of_a_key_is_a_replay) {
    Settled scene;
    auto& vault = scene.vaults[0];
    const KeyId key{scene.epoch(), 0};
    const auto old = scene.left(key);
    const auto pair = scene.record(key)->pair;
    const auto counter = vault.counter;
    scene.leave(key, scene.record_frame(vault, key, pair));
    scene.run();
    BOOST_TEST(scene.machine->report().alarms.empty(), "made anew: as good as the one at hand");

    const auto is_refused = [&](const Value& frame, const std::string& why) {
        scene.leave(key, frame);
        scene.run();
        BOOST_TEST(scene.alarms_of(why), why);
    };
    is_refused(old, "a replay");
    // Nor once the ring is lost, nor after a restart.
    scene.ticket.ring = nullptr;
    scene.start();
    is_refused(old, "a replay");
    BOOST_TEST(scene.record(key) == nullptr);
    vault.counter = counter;
    is_refused(scene.record_frame(vault, key, pair), "another record had counter");

    // What another vault counts is its own.
    scene.leave(key, scene.record_frame(scene.vaults[1], key, pair));
    scene.run();
    BOOST_TEST(scene.machine->report().alarms.empty());
    BOOST_TEST(scene.record(key));
}

BOOST_AUTO_TEST_CASE(two_vaults_that_answer_both_do_not_make_it_waver) {
    Settled scene;
    const KeyId key{scene.epoch(), 0};
    const auto pair = scene.record(key)->pair;
    scene.values()["record.web-1." + std::to_string(key.epoch) + ".00"] =
        scene.record_frame(scene.vaults[1], key, pair);
    scene.run();
    const auto published = scene.ticket.published;
    for (int again = 0; again < 3; ++again)
        scene.run();
    BOOST_TEST(scene.ticket.published == published);
    BOOST_TEST(scene.machine->report().alarms.empty());
}

// --- losses ---

BOOST_AUTO_TEST_CASE(a_lost_ring_is_there_again_at_once) {
    Settled scene;
    const auto ends = scene.sealing()->destroy_at;
    scene.ticket.ring = nullptr;
    scene.engine.down = true;
    BOOST_CHECK_THROW(scene.run(), EngineError);
    BOOST_TEST(scene.records() == 4U, "this process knows it");

    scene.engine.down = false;
    scene.ticket.ring = nullptr;
    scene.now.wall -= 1800;
    scene.start();
    scene.run();
    BOOST_TEST(scene.records() == 4U, "the engine has the records");
    scene.now.wall += 1800;
    BOOST_TEST(scene.sealing()->destroy_at >= ends);
    BOOST_TEST(scene.is_consistent());
}

BOOST_AUTO_TEST_CASE(generations_rise_whatever_is_lost) {
    Settled scene;
    auto last = scene.ticket.ring->generation;
    for (int again = 0; again < 3; ++again) {
        scene.ticket.ring = nullptr;
        if (again == 1)
            scene.start();
        if (again == 2)
            scene.reboot();
        scene.run();
        BOOST_TEST(scene.ticket.ring->generation > last);
        last = scene.ticket.ring->generation;
    }
}

BOOST_AUTO_TEST_CASE(a_rebooted_machine_makes_new_pairs_and_gets_the_key_of_this_epoch) {
    Settled scene;
    const auto before = scene.offers();
    scene.pass(600);
    for (const bool pairs_are_gone : {true, false}) {  // a token in files; an HSM
        if (pairs_are_gone)
            scene.ticket.held.clear();
        scene.reboot();
        scene.run();
        BOOST_TEST(scene.machine->report().alarms.empty());
        BOOST_TEST(scene.records() == 0U, "records that are wrapped to pairs of another boot are dropped");
        for (const auto& pair : before)
            BOOST_TEST(!scene.ticket.held.contains(pair.pair));
        scene.serve();
        scene.run();
        BOOST_TEST(scene.sealing() != nullptr);
        BOOST_TEST(scene.is_consistent());
    }
}

BOOST_AUTO_TEST_CASE(a_ring_of_another_boot_counts_as_none) {
    Settled scene;
    const auto ring = scene.ticket.ring;
    scene.reboot();
    scene.ticket.ring = ring;
    scene.run();
    BOOST_TEST(scene.records() == 0U);

    // Who lost his memory does not know; but nothing has that long to live.
    Settled other;
    other.pass(30 * 86400);
    other.settle();
    const auto kept = other.ticket.ring;
    other.saved.clear();
    other.reboot();
    other.ticket.ring = kept;
    other.run();
    BOOST_TEST(other.records() == 0U);
}

BOOST_AUTO_TEST_CASE(a_remade_ticket_token_gets_pairs_and_keys) {
    Settled scene;
    scene.ticket.serial = "serial-2";
    scene.ticket.held.clear();
    scene.run();
    BOOST_TEST(scene.ticket.ring->token_serial == "serial-2");
    BOOST_TEST(scene.records() == 0U);
    scene.serve();
    scene.run();
    BOOST_TEST(scene.records() == 4U);
    BOOST_TEST(scene.is_consistent());
}

BOOST_AUTO_TEST_CASE(pairs_that_somebody_removed_are_made_anew) {
    Settled scene;
    scene.ticket.held.erase(scene.sealing()->pair);
    scene.run();
    BOOST_TEST(scene.records() == 3U);
    scene.serve();
    scene.run();
    BOOST_TEST(scene.sealing());
    BOOST_TEST(scene.is_consistent());
}

BOOST_AUTO_TEST_CASE(a_lost_memory_costs_no_key) {
    Settled scene;
    scene.saved.clear();
    scene.start();
    scene.run();
    BOOST_TEST(scene.records() == 4U);
    BOOST_TEST(scene.sealing());
    scene.serve();
    scene.run();
    BOOST_TEST(scene.records() == 4U);
    BOOST_TEST(scene.sealing());
    BOOST_TEST(scene.ticket.held.size() == 4U, "the old pairs are gone");
    BOOST_TEST(scene.is_consistent());
}

BOOST_AUTO_TEST_CASE(an_engine_that_lost_all_gets_the_offers_back) {
    Settled scene;
    const auto before = scene.offers();
    scene.engine.values.clear();
    scene.run();
    BOOST_TEST((scene.offers() == before));
    BOOST_TEST(scene.records() == 4U);

    // Or has something else in their place.
    const auto kept = scene.values();
    const std::string first = "pair.web-1." + std::to_string(before[0].epoch),
                      second = "pair.web-1." + std::to_string(before[1].epoch);
    for (const auto& wrong : {Value{}, Value(Engine::max_value + 1), Value(kept.at(second)),
                              Value(kept.at(first).begin(), kept.at(first).end() - 1)}) {
        scene.values()[first] = wrong;
        scene.run();
        BOOST_TEST((scene.offers() == before));
    }
    scene.values()[first].back() ^= 1;
    scene.run();
    BOOST_TEST((scene.offers() == before));
}

BOOST_AUTO_TEST_CASE(offers_of_epochs_that_are_over_are_erased) {
    Settled scene;
    scene.values()["pair.web-10.1"] = Value{1};
    scene.values()["pair.web-1.77"] = Value{1};
    scene.pass(hour);
    scene.run();
    BOOST_TEST(scene.offers().size() == 4U);
    BOOST_TEST(scene.offers().front().epoch == scene.epoch());
    BOOST_TEST(scene.values().contains("pair.web-10.1"), "another machine's");
    BOOST_TEST(scene.ticket.held.size() == 5U, "the pair is still needed to open");
}

// --- an engine that is down ---

BOOST_DATA_TEST_CASE(without_an_engine_keys_stay_for_their_windows_and_no_longer, data::make({1, 3, 30}),
                     epochs) {
    Settled scene;
    scene.engine.down = true;
    const auto last = scene.epoch() + 3;
    for (int quarter = 1; quarter <= 4 * epochs; ++quarter) {
        scene.pass(900);
        BOOST_CHECK_THROW(scene.run(), EngineError);
        if (quarter % 8 == 0) {
            scene.start();  // without an engine it still knows its lists
            BOOST_CHECK_THROW(scene.run(), EngineError);
        }
        const auto expected = scene.epoch() <= last;
        BOOST_TEST((scene.sealing() != nullptr) == expected);
        if (expected)
            BOOST_TEST(scene.sealing()->epoch == scene.epoch());
        for (const auto& record : scene.ticket.ring->records)
            BOOST_TEST(record->open_until > scene.now.wall - 2);
        BOOST_TEST(scene.ticket.held.size() <= 4 + scene.records());
    }
    scene.engine.down = false;
    scene.settle();
    BOOST_TEST(scene.sealing()->epoch == scene.epoch());
    BOOST_TEST(scene.records() <= 7U);
    BOOST_TEST(scene.is_consistent());
}

BOOST_AUTO_TEST_CASE(a_machine_that_is_in_no_list_makes_nothing_and_keeps_what_it_has) {
    MachineScene fresh;
    fresh.values().erase("machines");
    BOOST_CHECK_THROW(fresh.run(), FrameError);
    BOOST_TEST(fresh.ticket.made == 0U);
    fresh.sign_machines([](PartyList& list) { list.parties.erase(list.parties.begin()); });
    BOOST_CHECK_THROW(fresh.run(), FrameError);
    BOOST_TEST(fresh.ticket.made == 0U);
    fresh.sign_machines();
    fresh.settle();
    BOOST_TEST(fresh.sealing());

    fresh.sign_machines([](PartyList& list) { list.parties[0].standing = Standing::retired; });
    for (int hours = 0; hours < 6; ++hours) {
        BOOST_CHECK_THROW(fresh.run(), FrameError);
        BOOST_TEST((fresh.sealing() != nullptr) == (hours < 4));
        fresh.pass(hour);
    }
    BOOST_TEST(fresh.ticket.made == 4U);
}

// --- clocks ---

BOOST_DATA_TEST_CASE(a_clock_that_goes_an_hour_off_takes_no_key_away,
                     data::make({-3600, 3600, -86400 * 30, 86400 * 30}), off) {
    Settled scene;
    scene.pass(2 * hour);
    scene.settle();
    BOOST_TEST(scene.records() == 6U);
    scene.set_clock(off);
    scene.run();
    BOOST_TEST(scene.records() == 6U);
    if (std::abs(off) == hour)
        BOOST_TEST(scene.sealing()->epoch == scene.epoch());
    scene.serve();
    scene.run();
    scene.set_clock(0);
    scene.run();
    BOOST_TEST(scene.sealing()->epoch == scene.right_epoch());
    for (std::uint64_t e = scene.right_epoch() - 2; e <= scene.right_epoch() + 3; ++e)
        BOOST_TEST(scene.record({e, 0}));
}

BOOST_AUTO_TEST_CASE(a_new_machine_whose_clock_is_an_hour_fast_seals_with_the_next_key) {
    MachineScene scene;
    scene.set_clock(hour);
    scene.settle();
    BOOST_REQUIRE(scene.sealing() != nullptr);
    BOOST_TEST(scene.sealing()->epoch == scene.right_epoch() + 1);
    scene.set_clock(0);
    scene.settle();
    BOOST_TEST(scene.sealing()->epoch == scene.right_epoch());
}

BOOST_AUTO_TEST_CASE(a_new_machine_whose_clock_is_an_hour_slow_finds_its_key_when_it_is_right) {
    MachineScene scene;
    scene.set_clock(-hour);
    scene.settle();
    BOOST_TEST(scene.sealing() == nullptr, "its location cannot derive that epoch's any more");
    BOOST_TEST(scene.records() == 3U);
    scene.set_clock(0);
    BOOST_TEST(scene.sealing());
    scene.settle();
    BOOST_TEST(scene.records() == 4U);
}

BOOST_AUTO_TEST_CASE(an_engine_that_brings_a_key_again_and_again_keeps_it_from_no_end) {
    Settled scene;
    const KeyId key{scene.epoch(), 0};
    // The clock stands still, so by the wall it is never over.
    std::uint64_t hours = 0;
    for (; hours < 100; ++hours) {
        scene.now.boot += 3600;
        scene.ticket.ring = nullptr;
        scene.start();
        scene.settle();
        if (scene.record(key) == nullptr)
            break;
        BOOST_TEST(scene.record(key)->destroy_at > scene.now.boot);
    }
    BOOST_TEST(hours <= 8U);
    BOOST_TEST(std::ranges::count(scene.machine->report().taken, key) == 0);
    BOOST_TEST(scene.machine->report().alarms.empty());
}

BOOST_AUTO_TEST_CASE(before_1970_what_is_over_still_goes) {
    Settled scene;
    scene.pass(86400);
    scene.now.wall = -5;
    BOOST_CHECK_THROW(scene.run(), std::runtime_error);
    BOOST_TEST(scene.records() == 0U);
    scene.set_clock(0);
    scene.settle();
    BOOST_TEST(scene.sealing());
}

// --- revoked keys ---

BOOST_AUTO_TEST_CASE(a_revoked_key_goes_at_once_its_pair_first) {
    Settled scene;
    const KeyId key{scene.epoch(), 0};
    const auto pair = scene.record(key)->pair;
    scene.ticket.before_destroying = [&](const PairId& id) {
        if (id == pair)
            BOOST_TEST(scene.record(key), "the pair first");
    };
    scene.revoke(key);
    scene.run();
    BOOST_TEST(scene.record(key) == nullptr);
    BOOST_TEST(!scene.ticket.held.contains(pair));
    BOOST_TEST(scene.machine->report().retired.size() == 1U);
    BOOST_TEST(scene.machine->report().retired[0].revoked);
    const auto offer = scene.offer_for(key.epoch);
    BOOST_REQUIRE(offer);
    BOOST_TEST((offer->pair != pair), "a new pair, at once");
    scene.serve(0, 1);
    scene.run();
    BOOST_TEST(scene.sealing()->revision == 1U);
    BOOST_TEST(scene.is_consistent());
}

BOOST_AUTO_TEST_CASE(a_revoked_key_comes_back_by_no_replay_no_loss_and_no_restart) {
    Settled scene;
    const KeyId key{scene.epoch(), 0};
    const auto old = scene.left(key);
    const auto other_vault = scene.record_frame(scene.vaults[1], key, scene.record(key)->pair);
    scene.revoke(key);
    scene.run();
    const auto is_not_back = [&] {
        const auto unaware = scene.record_frame(scene.vaults[1], key, scene.offer_for(key.epoch)->pair);
        for (const auto& frame : {old, other_vault, unaware}) {
            scene.leave(key, frame);
            scene.run();
            BOOST_TEST(scene.record(key) == nullptr);
            BOOST_TEST(scene.alarms_of("its key is revoked"));
        }
    };
    is_not_back();
    scene.ticket.ring = nullptr;
    is_not_back();
    scene.start();
    is_not_back();
    scene.set_clock(86400 * 30);
    scene.run();
    scene.set_clock(0);
    is_not_back();
    scene.reboot();
    scene.run();
    is_not_back();
    scene.pass(3 * hour);
    scene.values().erase(MachineScene::record_key(key));
    scene.run();
    scene.pass(86400);
    scene.run();
    BOOST_TEST(!scene.machine->memory().is_revoked(key), "remembered until it could open nothing");
}

BOOST_AUTO_TEST_CASE(a_key_that_is_revoked_before_it_came_does_not_come) {
    MachineScene scene;
    scene.run();
    const KeyId key{scene.epoch() + 1, 0};
    const auto pair = scene.offer_for(key.epoch)->pair;
    const auto frame = scene.record_frame(scene.vaults[1], key, pair);
    auto revocation = scene.unsealed(scene.vaults[0], key, pair);
    revocation.revoked = true;
    revocation.wrapped_key.clear();
    scene.leave(key, scene.signed_by(scene.vaults[0], revocation));
    scene.run();
    BOOST_TEST(!scene.ticket.held.contains(pair), "what was wrapped to it may be in somebody's hands");
    scene.leave(key, frame);
    scene.run();
    BOOST_TEST(scene.record(key) == nullptr);
}

BOOST_AUTO_TEST_CASE(what_shares_the_pair_of_a_revoked_key_is_given_up_and_made_anew) {
    Settled scene({60, 120});
    const KeyId key{scene.epoch() + 1, 0};
    const auto pair = scene.sealing()->pair;
    BOOST_TEST((scene.record(key)->pair == pair));
    scene.revoke(key);
    scene.run();
    BOOST_TEST(scene.records() == 0U);
    const auto offer = scene.offer_for(scene.epoch());
    BOOST_REQUIRE(offer);
    BOOST_TEST((offer->pair != pair));
    scene.serve();
    scene.run();
    BOOST_TEST(scene.records() == 3U);
    BOOST_TEST(scene.sealing());
    BOOST_TEST(scene.record(key) == nullptr);
    BOOST_TEST(scene.is_consistent());
}

BOOST_AUTO_TEST_CASE(a_revoked_key_goes_though_nothing_can_be_saved_or_published) {
    Settled scene;
    const KeyId key{scene.epoch(), 0};
    const auto old = scene.left(key);
    const auto pair = scene.record(key)->pair;
    scene.revoke(key);
    scene.fails_to_save = true;
    BOOST_CHECK_THROW(scene.run(), std::system_error);
    BOOST_TEST(scene.record(key) == nullptr);
    BOOST_TEST(!scene.ticket.held.contains(pair));
    BOOST_TEST(scene.records() == 3U);

    // A kill now, and an engine that would bring it back.
    scene.fails_to_save = false;
    scene.leave(key, old);
    scene.start();
    scene.run();
    BOOST_TEST(scene.record(key) == nullptr);

    Settled full;
    const auto full_pair = full.record(key)->pair;
    full.revoke(key);
    full.ticket.fails_to_publish = true;
    BOOST_CHECK_THROW(full.run(), std::system_error);
    BOOST_TEST(!full.ticket.held.contains(full_pair), "a copy of the ring is worth nothing");
    full.ticket.fails_to_publish = false;
    full.run();
    BOOST_TEST(full.record(key) == nullptr);
}

BOOST_AUTO_TEST_CASE(a_replayed_revocation_revokes_nothing_else) {
    Settled scene;
    const KeyId key{scene.epoch(), 0};
    scene.revoke(key);
    scene.run();
    scene.values()["record.web-1.99.0"] = scene.left(key);
    scene.serve(0, 1);
    scene.run();
    const auto published = scene.ticket.published;
    scene.run();
    BOOST_TEST(scene.ticket.published == published);
    BOOST_TEST(scene.machine->report().alarms.empty());
    BOOST_TEST(scene.sealing()->revision == 1U);
}

// --- what cannot be saved or published ---

BOOST_AUTO_TEST_CASE(what_cannot_be_remembered_is_not_taken) {
    Settled scene;
    const KeyId key{scene.epoch(), 1};
    scene.leave(key, scene.record_frame(scene.vaults[0], key, scene.sealing()->pair));
    scene.fails_to_save = true;
    scene.ticket.ring = nullptr;
    BOOST_CHECK_THROW(scene.run(), std::system_error);
    BOOST_TEST(scene.record(key) == nullptr);
    BOOST_TEST(scene.records() == 4U, "the ring is put back all the same");
    scene.pass(hour);
    const auto pairs = scene.ticket.held;
    BOOST_CHECK_THROW(scene.run(), std::system_error);
    BOOST_TEST((scene.ticket.held == pairs), "no try leaves a pair that nobody knows");
    scene.fails_to_save = false;
    scene.run();
    BOOST_TEST(scene.record(key));
}

BOOST_AUTO_TEST_CASE(a_pair_that_cannot_be_remembered_does_not_stay) {
    Settled scene;
    scene.pass(hour);
    scene.fails_to_save = true;
    const auto pairs = scene.ticket.held;
    BOOST_CHECK_THROW(scene.run(), std::system_error);
    BOOST_TEST(scene.ticket.made == 5U);
    BOOST_TEST((scene.ticket.held == pairs));
    scene.fails_to_save = false;
    scene.run();
    BOOST_TEST(scene.is_consistent());
}

BOOST_AUTO_TEST_CASE(what_is_over_goes_though_nothing_can_be_saved_or_published) {
    Settled scene;
    scene.fails_to_save = true;
    scene.ticket.fails_to_publish = true;
    scene.engine.down = true;
    const auto pair = scene.sealing()->pair;
    scene.pass(3 * hour + 1);
    BOOST_CHECK_THROW(scene.run(), std::system_error);
    BOOST_TEST(!scene.ticket.held.contains(pair));
    scene.ticket.fails_to_publish = false;
    BOOST_CHECK_THROW(scene.run(), std::exception);
    BOOST_TEST(scene.records() == 3U);
}

BOOST_AUTO_TEST_CASE(more_keys_than_a_ring_holds_leave_those_that_matter) {
    Settled scene;
    auto& vault = scene.vaults[0];
    const auto pair = scene.sealing()->pair;
    const auto e = scene.epoch();
    for (std::uint32_t revision = 1; revision <= 260; ++revision)
        scene.leave({e, revision}, scene.record_frame(vault, {e, revision}, pair));
    scene.run();
    BOOST_TEST(scene.records() == max_ring_records);
    BOOST_TEST(scene.alarms_of("more than a key ring holds"));
    BOOST_TEST(scene.sealing()->revision == 260U);
    for (std::uint64_t ahead = 1; ahead <= 3; ++ahead)
        BOOST_TEST(scene.record({e + ahead, 0}));
    const auto published = scene.ticket.published;
    scene.run();
    BOOST_TEST(scene.ticket.published == published, "it does not waver");
    scene.pass(hour);
    scene.settle();
    BOOST_TEST(scene.sealing()->epoch == e + 1);
    BOOST_TEST(scene.record({e + 4, 0}));
}
