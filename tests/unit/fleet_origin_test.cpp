// An origin mints ahead for whom it should, and never twice for one (epoch, revision).
#define BOOST_TEST_MODULE fleet_origin
#include "origin_scene.hpp"

#include <barrier>
#include <thread>

namespace stek::fleet {
namespace {

using tests::Octets;
using tests::OriginAtWork;
using tests::OriginScene;
using tests::SmallFleet;
using tests::WatchedEngine;

constexpr std::uint64_t now = tests::scene_epoch;

const SealedHourly* share_of(const Bundle& bundle, PartyNumber vault) {
    const auto found = std::ranges::find(bundle.shares, vault, &SealedHourly::vault);
    return found == bundle.shares.end() ? nullptr : &*found;
}

/// Whether the vault's share opens with that key, to the hourly key of the bundle.
bool opens(const Bundle& bundle, const OriginScene& scene, PartyNumber origin, PartyNumber vault,
           const TokenKey& key) {
    const auto* share = share_of(bundle, vault);
    HourlyKey hourly;
    if (share != nullptr)
        open_share(bundle, *share, scene.fleet.id(), origin, key.key.get(), key.point, hourly);
    return share != nullptr && hash_of_hourly(hourly) == bundle.hourly_hash;
}

// --- minting ---

BOOST_FIXTURE_TEST_CASE(the_current_epoch_and_three_ahead, OriginScene) {
    const auto pre_key = SmallFleet::publish_pre_key(*directory, vault, now + 1);
    auto at_work = start();
    at_work.origin.run(at(now), policy);
    BOOST_TEST((names() == std::vector<std::string>{"500000.0", "500001.0", "500002.0", "500003.0"}));
    Digest before{};
    std::set<Digest> hourly;
    for (std::uint64_t epoch = now; epoch <= now + 3; ++epoch) {
        const auto bundle = good({epoch, 0});
        BOOST_REQUIRE(bundle.has_value());
        BOOST_TEST(bundle->not_before == static_cast<std::int64_t>(epoch * 3600));
        BOOST_TEST(bundle->not_after == static_cast<std::int64_t>((epoch + 1) * 3600));
        BOOST_TEST((bundle->before == before));
        BOOST_TEST(bundle->shares.size() == 2U);
        const bool ahead = epoch == now + 1;
        BOOST_TEST(share_of(*bundle, vault.entry.number)->pre_key == (ahead ? epoch : 0));
        BOOST_TEST(opens(*bundle, *this, first.entry.number, vault.entry.number,
                         ahead ? pre_key : *vault.self.sealing));
        BOOST_TEST(
            opens(*bundle, *this, first.entry.number, other_vault.entry.number, *other_vault.self.sealing));
        before = frame_hash(*frame({epoch, 0}));
        hourly.insert(bundle->hourly_hash);
    }
    BOOST_TEST(hourly.size() == 4U);
    BOOST_TEST(at_work.origin.report().newest_epoch == now + 3);
    BOOST_TEST(at_work.origin.report().alarms.empty());
    BOOST_TEST((at_work.origin.report().without_pre_key ==
                std::vector<PartyNumber>{vault.entry.number, other_vault.entry.number}));
}

BOOST_FIXTURE_TEST_CASE(what_is_done_is_not_done_again, OriginScene) {
    auto at_work = start();
    at_work.origin.run(at(now), policy);
    const auto done = engine.writes;
    at_work.origin.run(at(now), policy);
    auto restarted = start();
    restarted.origin.run(at(now), policy);
    BOOST_TEST(engine.writes == done);
    restarted.origin.run(at(now + 1), policy);
    BOOST_TEST(engine.writes == done + 1);
    BOOST_TEST(good({now + 4, 0}).has_value());
    BOOST_TEST(restarted.origin.report().alarms.empty());
}

BOOST_FIXTURE_TEST_CASE(who_is_not_in_the_list_mints_nothing, OriginScene) {
    SmallFleet elsewhere;
    auto& stranger = elsewhere.add_origin("origin-1");
    stranger.self.fleet = fleet.id();
    OriginAtWork unknown(other_state, fleet, stranger, engine);
    BOOST_CHECK_THROW(unknown.origin.run(at(now), policy), FrameError);
    retire(first);
    auto retired = start();
    BOOST_CHECK_THROW(retired.origin.run(at(now), policy), FrameError);
    BOOST_CHECK_THROW(retired.origin.renew(at(now), policy), FrameError);
    std::filesystem::remove_all(root / bucket::fleet);
    OriginAtWork without(workspace.subdirectory("state"), fleet, second, engine);
    BOOST_CHECK_THROW(without.origin.run(at(now), policy), FrameError);
    BOOST_TEST(names().empty());
}

BOOST_FIXTURE_TEST_CASE(a_list_that_is_noise_does_not_stop_an_origin, OriginScene) {
    auto at_work = start();
    at_work.origin.run(at(now), policy);
    std::filesystem::resize_file(root / bucket::fleet / "list", 10 << 20);
    at_work.origin.run(at(now + 1), policy);
    BOOST_TEST(good({now + 4, 0}).has_value() == false);  // the scene's reader has no list now
    BOOST_TEST(names().size() == 5U);
}

BOOST_FIXTURE_TEST_CASE(retired_vaults_are_left_out, OriginScene) {
    retire(other_vault);
    auto at_work = start();
    at_work.origin.run(at(now), policy);
    BOOST_TEST(good({now, 0}).value().shares.size() == 1U);
    BOOST_TEST(share_of(*good({now, 0}), other_vault.entry.number) == nullptr);
    retire(vault);
    at_work.origin.run(at(now + 1), policy);
    BOOST_TEST(names().size() == 4U);  // nobody to seal to
}

BOOST_FIXTURE_TEST_CASE(a_vault_whose_key_is_no_point_keeps_nothing_from_others, OriginScene) {
    other_vault.entry.sealing_key.fill(0x11);
    other_vault.entry.sealing_key[0] = 4;
    fleet.publish(*directory);
    auto at_work = start();
    at_work.origin.run(at(now), policy);
    BOOST_TEST(good({now, 0}).value().shares.size() == 1U);
    BOOST_TEST(at_work.alarmed("vault-2 gets nothing"));
}

BOOST_FIXTURE_TEST_CASE(only_a_vaults_own_pre_key_for_the_epoch_is_used, OriginScene) {
    const auto number = vault.entry.number;
    const auto frame_by = [&](const tests::FleetMember& signer, const PreKey& pre_key) {
        return signer.sign(Kind::pre_key, encode_pre_key(pre_key));
    };
    const auto point = tests::memory_pair().point;
    auto damaged = frame_by(vault, {number, now, point});
    damaged.back() ^= 1;
    for (const Octets& bad :
         {frame_by(other_vault, {number, now, point}),
          frame_by(other_vault, {other_vault.entry.number, now, point}),
          frame_by(vault, {other_vault.entry.number, now, point}), frame_by(vault, {number, now + 1, point}),
          frame_by(vault, {number, now - 1, point}), frame_by(first, {number, now, point}), damaged, Octets{},
          Octets(Engine::max_value, 1)}) {
        std::filesystem::remove_all(root / bucket::hourly);
        directory->put(bucket::pre_keys, pre_key_key(vault.entry.name, now), bad);
        OriginAtWork at_work(workspace.subdirectory("state"), fleet, first, engine);
        at_work.origin.run(at(now), policy);
        BOOST_TEST(share_of(*good({now, 0}), number)->pre_key == 0U);
        BOOST_TEST(opens(*good({now, 0}), *this, first.entry.number, number, *vault.self.sealing));
        BOOST_TEST(at_work.alarmed("is not used"));
    }
    std::filesystem::remove_all(root / bucket::hourly);
    std::filesystem::resize_file(root / bucket::pre_keys / pre_key_key(vault.entry.name, now), 10 << 20);
    OriginAtWork at_work(workspace.subdirectory("state"), fleet, first, engine);
    at_work.origin.run(at(now), policy);
    BOOST_TEST(share_of(*good({now, 0}), number)->pre_key == 0U);
}

// --- several origins ---

struct SeveralOrigins : OriginScene {
    /// Each epoch begins for both in the same instant.
    void run_together(unsigned times, OriginAtWork& one, OriginAtWork& other) const {
        std::barrier together(2);
        const auto work = [&](OriginAtWork& at_work) {
            for (unsigned i = 0; i < times; ++i) {
                together.arrive_and_wait();
                at_work.origin.run(at(now + i), policy);
            }
        };
        std::thread beside([&] { work(other); });
        work(one);
        beside.join();
    }
};

BOOST_FIXTURE_TEST_CASE(two_at_the_same_instant, SeveralOrigins) {
    constexpr unsigned times = 200;
    auto one_engine = make_directory_engine(root), other_engine = make_directory_engine(root);
    WatchedEngine one_watched(*one_engine), other_watched(*other_engine);
    auto one = start(one_watched), other = start_second(other_watched);
    run_together(times, one, other);
    std::size_t alike = 0;
    for (auto epoch = now + times - 1; epoch <= now + times + 2; ++epoch) {
        const auto* mine = one.store.find({epoch, 0});
        const auto* theirs = other.store.find({epoch, 0});
        BOOST_REQUIRE((mine != nullptr && theirs != nullptr));
        BOOST_TEST((mine->frame == theirs->frame));
        BOOST_TEST((mine->frame == *frame({epoch, 0})));
        BOOST_TEST((mine->state == BundleStore::State::settled));
    }
    one_watched.join(other_watched);
    BOOST_TEST(one_watched.hourly_hashes.size() == times + 3);
    BOOST_TEST_MESSAGE("first come, of " << times << ": " << one_watched.lost << " lost by one, "
                                         << other_watched.lost << " by the other");
    BOOST_TEST(one_watched.has_one_hourly_key_each());
    for (const auto& [key, held] : one.store.held())
        if (const auto* theirs = other.store.find(key))
            alike += theirs->frame == held.frame ? 1 : 0;
    BOOST_TEST(alike == std::min(one.store.held().size(), other.store.held().size()));
    BOOST_TEST(one.origin.report().alarms.empty());
    BOOST_TEST(other.origin.report().alarms.empty());
}

BOOST_FIXTURE_TEST_CASE(the_loser_keeps_the_winners, OriginScene) {
    const auto winner = mint(second, {now, 0});
    auto at_work = start();
    // Between the listing and create(): as if both were there at the same instant.
    engine.before = [&, done = false](unsigned) mutable {
        if (!done && at_work.store.find({now, 0}) != nullptr) {
            done = true;
            put({now, 0}, winner);
        }
    };
    at_work.origin.run(at(now), policy);
    BOOST_TEST((at_work.store.find({now, 0})->frame == winner));
    BOOST_TEST(at_work.origin.report().alarms.empty());
    BOOST_TEST(!std::filesystem::exists(state / "bundles/500000.0.minted"));
    BOOST_TEST((test::read_file(state / "bundles/500000.0") == std::string(winner.begin(), winner.end())));
    BOOST_TEST(names().size() == 4U);
}

BOOST_FIXTURE_TEST_CASE(another_good_one_than_the_one_held_is_an_alarm, OriginScene) {
    auto at_work = start();
    at_work.origin.run(at(now), policy);
    const auto held = *frame({now, 0});
    const auto another = mint(second, {now, 0});
    put({now, 0}, another);
    at_work.origin.run(at(now), policy);
    BOOST_TEST(at_work.alarmed("two hourly keys"));
    auto restarted = start();
    restarted.origin.run(at(now), policy);
    BOOST_TEST(restarted.alarmed("two hourly keys"));
    BOOST_TEST((restarted.store.find({now, 0})->frame == held));
    BOOST_TEST((*frame({now, 0}) == another));
    BOOST_TEST(names().size() == 4U);
}

// --- kills and errors ---

struct Killed {};

/// Runs until the origin is not interrupted any more; a new one each time, from its files.
template <class Interruption>
void interrupt_at_each_call(bool afterwards) {
    for (unsigned call = 0;; ++call) {
        OriginScene scene;
        bool interrupted = false;
        const auto interrupt = [&](unsigned number) {
            if (number == call && !interrupted) {
                interrupted = true;
                throw Interruption();
            }
        };
        (afterwards ? scene.engine.after : scene.engine.before) = interrupt;
        BOOST_TEST_CONTEXT("call " << call) {
            try {
                scene.start().origin.run(scene.at(now), scene.policy);
            } catch (const Interruption&) {
            }
            scene.engine.let_be();
            auto again = scene.start();
            again.origin.run(scene.at(now), scene.policy);
            BOOST_TEST(scene.engine.has_one_hourly_key_each());
            BOOST_TEST(again.origin.report().alarms.empty());
            BOOST_TEST(scene.names().size() == 4U);
            for (auto epoch = now; epoch <= now + 3; ++epoch) {
                BOOST_TEST(scene.good({epoch, 0}).has_value());
                BOOST_TEST((again.store.find({epoch, 0})->frame == *scene.frame({epoch, 0})));
            }
        }
        if (!interrupted)
            return;
    }
}

BOOST_AUTO_TEST_CASE(killed_before_each_call) {
    interrupt_at_each_call<Killed>(false);
}

BOOST_AUTO_TEST_CASE(killed_after_each_call) {
    interrupt_at_each_call<Killed>(true);
}

BOOST_FIXTURE_TEST_CASE(an_engine_that_refuses_each_call, OriginScene) {
    for (const bool afterwards : {false, true})
        for (unsigned call = 0;; ++call) {
            OriginScene scene;
            bool refused = false;
            (afterwards ? scene.engine.after : scene.engine.before) = [&](unsigned number) {
                if (number == call) {
                    refused = true;
                    throw EngineError("refused");
                }
            };
            BOOST_TEST_CONTEXT("call " << call << (afterwards ? " after" : " before")) {
                auto at_work = scene.start();
                bool thrown = false;
                try {
                    at_work.origin.run(scene.at(now), scene.policy);
                } catch (const EngineError&) {
                    thrown = true;
                }
                BOOST_TEST(thrown == refused);
                // One key that is refused does not keep the others from being made.
                if (call > 3)
                    BOOST_TEST(scene.names().size() >= 3U);
                scene.engine.let_be();
                at_work.origin.run(scene.at(now), scene.policy);
                BOOST_TEST(scene.engine.has_one_hourly_key_each());
                BOOST_TEST(at_work.origin.report().alarms.empty());
                BOOST_TEST(scene.names().size() == 4U);
            }
            if (!refused)
                break;
        }
}

BOOST_FIXTURE_TEST_CASE(an_engine_that_is_away_and_comes_back, OriginScene) {
    auto at_work = start();
    at_work.origin.run(at(now), policy);
    engine.before = [](unsigned) { throw EngineError("away"); };
    BOOST_CHECK_THROW(at_work.origin.run(at(now + 1), policy), EngineError);
    BOOST_CHECK_THROW(at_work.origin.renew(at(now + 1), policy), EngineError);
    engine.before = [](unsigned) {};
    at_work.origin.run(at(now + 1), policy);
    BOOST_TEST(names().size() == 5U);
}

BOOST_FIXTURE_TEST_CASE(killed_before_create_and_another_was_first, OriginScene) {
    engine.before = [&](unsigned) {
        if (std::filesystem::exists(state / "bundles/500000.0.minted"))
            throw Killed();
    };
    BOOST_CHECK_THROW(start().origin.run(at(now), policy), Killed);
    engine.before = [](unsigned) {};
    auto other = start_second();
    other.origin.run(at(now), policy);
    auto restarted = start();
    restarted.origin.run(at(now), policy);
    BOOST_TEST((restarted.store.find({now, 0})->frame == *frame({now, 0})));
    BOOST_TEST(restarted.origin.report().alarms.empty());
    BOOST_TEST(!std::filesystem::exists(state / "bundles/500000.0.minted"));
}

BOOST_FIXTURE_TEST_CASE(what_was_minted_for_who_is_retired_since_is_not_offered, OriginScene) {
    engine.before = [&](unsigned) {
        if (std::filesystem::exists(state / "bundles/500000.0.minted"))
            throw Killed();
    };
    BOOST_CHECK_THROW(start().origin.run(at(now), policy), Killed);
    engine.before = [](unsigned) {};
    retire(other_vault);
    start().origin.run(at(now), policy);
    BOOST_TEST(!frame({now, 0}).has_value());
    BOOST_TEST(good({now, 1}).value().shares.size() == 1U);
}

// --- losses ---

BOOST_FIXTURE_TEST_CASE(an_emptied_engine_gets_the_same_bytes, OriginScene) {
    auto at_work = start();
    at_work.origin.run(at(now), policy);
    at_work.origin.renew(at(now), policy);
    at_work.origin.run(at(now + 1), policy);
    std::map<std::string, Octets> all;
    for (const auto& name : names())
        all[name] = *directory->get(bucket::hourly, name);
    BOOST_TEST(all.size() == 9U);
    empty_engine();
    auto restarted = start();
    restarted.origin.run(at(now + 1), policy);
    BOOST_TEST(names().size() == all.size());
    for (const auto& [name, bytes] : all)
        BOOST_TEST((directory->get(bucket::hourly, name) == bytes));
    BOOST_TEST(directory->get(bucket::fleet, "list").has_value());
    BOOST_TEST(engine.has_one_hourly_key_each());
}

// All that the one had stored was gone before the other saw it.
BOOST_FIXTURE_TEST_CASE(what_only_another_has_seen_is_waited_for_after_a_loss, OriginScene) {
    auto one = start(), other = start_second(engine);
    one.origin.run(at(now), policy);
    other.origin.run(at(now), policy);
    one.origin.run(at(now + 1), policy);
    const KeyId unseen{now + 1 + Origin::ahead, 0};
    const auto last = *frame(unseen);
    for (const auto& name : names())
        directory->erase(bucket::hourly, name);
    other.origin.run(at(now + 1), policy);
    BOOST_TEST(!frame(unseen));
    BOOST_TEST(names().size() == Origin::ahead + 1);  // what it holds
    one.origin.run(at(now + 1), policy);
    BOOST_TEST((*frame(unseen) == last));
    other.origin.run(at(now + 1), policy);
    BOOST_TEST((other.store.find(unseen)->frame == last));
    BOOST_TEST(engine.has_one_hourly_key_each());
    BOOST_TEST(other.origin.report().alarms.empty());
}

// But not for ever, and not where the key is needed now.
BOOST_FIXTURE_TEST_CASE(who_is_gone_after_a_loss_is_not_waited_for_long, OriginScene) {
    auto one = start(), other = start_second(engine);
    one.origin.run(at(now), policy);
    other.origin.run(at(now), policy);
    for (const auto& name : names())
        directory->erase(bucket::hourly, name);
    for (std::uint64_t passed = 1; passed <= Origin::ahead + 1; ++passed) {
        other.origin.run(at(now + passed), policy);
        BOOST_TEST(frame({now + passed, 0}).has_value());
        BOOST_TEST(frame({now + passed + Origin::ahead, 0}).has_value() ==
                   (passed > Origin::waited_for_others));
    }
}

BOOST_FIXTURE_TEST_CASE(a_damaged_file_is_never_minted_for_again, OriginScene) {
    start().origin.run(at(now), policy);
    const auto file = state / "bundles/500000.0";
    const auto bytes = test::read_file(file);
    test::write_file(file, bytes.substr(0, bytes.size() - 1));
    start().origin.run(at(now), policy);
    BOOST_TEST((test::read_file(file) == bytes));  // the engine has it
    test::write_file(file, "x");
    empty_engine();
    start().origin.run(at(now), policy);
    BOOST_TEST(!frame({now, 0}).has_value());
    BOOST_TEST(good({now, 1}).has_value());
    BOOST_TEST(good({now + 1, 0}).has_value());
}

BOOST_FIXTURE_TEST_CASE(killed_while_settling, OriginScene) {
    start().origin.run(at(now), policy);
    const auto minted = mint(first, {now, 0});
    test::write_file(state / "bundles/500000.0.minted", std::string(minted.begin(), minted.end()));
    auto restarted = start();
    BOOST_TEST((restarted.store.find({now, 0})->frame == *frame({now, 0})));
    BOOST_TEST((restarted.store.find({now, 0})->state == BundleStore::State::settled));
    restarted.store.drop_before(now + 1);
    BOOST_TEST(start().store.held().size() == 3U);
}

BOOST_FIXTURE_TEST_CASE(a_store_that_cannot_be_written_offers_nothing, OriginScene) {
    auto at_work = start();
    std::filesystem::remove_all(state / "bundles");
    BOOST_CHECK_THROW(at_work.origin.run(at(now), policy), std::system_error);
    BOOST_TEST(names().empty());
}

BOOST_FIXTURE_TEST_CASE(what_is_no_bundle_is_removed_from_the_store, OriginScene) {
    start().origin.run(at(now), policy);
    for (const char* name : {"500000.0.new", "x", "500000", "01.0", ".minted"})
        test::write_file(state / "bundles" / name, "x");
    std::filesystem::create_directory(state / "bundles/7.7");
    auto restarted = start();
    BOOST_TEST(restarted.store.held().size() == 4U);
    BOOST_TEST(std::distance(std::filesystem::directory_iterator(state / "bundles"), {}) == 4);
    restarted.origin.run(at(now), policy);
    BOOST_TEST(names().size() == 4U);
}

// --- noise ---

BOOST_FIXTURE_TEST_CASE(noise_costs_a_revision, OriginScene) {
    put({now, 0}, Octets{1, 2, 3});
    put({now + 1, 0}, Octets{});
    put({now + 2, 0}, mint(first, {now, 0}));  // a replay in another's place
    std::filesystem::resize_file(root / bucket::hourly / "500001.0", 10 << 20);
    auto at_work = start();
    at_work.origin.run(at(now), policy);
    for (const auto epoch : {now, now + 1, now + 2})
        BOOST_TEST(good({epoch, 1}).has_value());
    BOOST_TEST(good({now + 3, 0}).has_value());
    BOOST_TEST(at_work.alarmed("bundle 500000.0 in the engine is of no use"));
    const auto there = names();
    at_work.origin.run(at(now), policy);
    BOOST_TEST((names() == there));
}

BOOST_FIXTURE_TEST_CASE(what_was_only_minted_is_not_written_over_noise, OriginScene) {
    engine.before = [&, done = false](unsigned) mutable {
        if (!done && std::filesystem::exists(state / "bundles/500000.0.minted")) {
            done = true;
            put({now, 0}, Octets{9});
        }
    };
    auto at_work = start();
    at_work.origin.run(at(now), policy);
    BOOST_TEST((*frame({now, 0}) == Octets{9}));
    BOOST_TEST(good({now, 1}).has_value());
    start().origin.run(at(now), policy);
    BOOST_TEST((*frame({now, 0}) == Octets{9}));
    BOOST_TEST(names().size() == 5U);
}

BOOST_FIXTURE_TEST_CASE(two_that_find_noise_at_the_same_instant, SeveralOrigins) {
    constexpr unsigned times = 50;
    for (auto epoch = now; epoch < now + times + 3; ++epoch)
        directory->put(bucket::hourly, bundle_key({epoch, 0}), Octets{9});
    auto one_engine = make_directory_engine(root), other_engine = make_directory_engine(root);
    WatchedEngine one_watched(*one_engine), other_watched(*other_engine);
    auto one = start(one_watched), other = start_second(other_watched);
    run_together(times, one, other);
    one_watched.join(other_watched);
    BOOST_TEST(one_watched.hourly_hashes.size() == times + 3);
    BOOST_TEST(one_watched.has_one_hourly_key_each());
}

BOOST_FIXTURE_TEST_CASE(noise_over_one_that_all_have_seen_is_written_over, OriginScene) {
    start().origin.run(at(now), policy);
    const auto bytes = *frame({now, 0});
    for (const Octets& noise : {Octets{}, Octets(5000, 7), mint(first, {now + 1, 0})}) {
        put({now, 0}, noise);
        auto at_work = start();
        at_work.origin.run(at(now), policy);
        BOOST_TEST((*frame({now, 0}) == bytes));
        BOOST_TEST(at_work.alarmed("written over"));
        BOOST_TEST(names().size() == 4U);
    }
}

BOOST_FIXTURE_TEST_CASE(noise_in_all_revisions_does_not_stop_the_fleet, OriginScene) {
    for (std::uint32_t revision = 0; revision < 200; ++revision)
        directory->put(bucket::hourly, bundle_key({now, revision}), Octets{9});
    auto at_work = start();
    at_work.origin.run(at(now), policy);
    BOOST_TEST(engine.calls < 120U);
    BOOST_TEST(good({now, 0}).has_value());
    BOOST_TEST((at_work.store.find({now, 0})->state == BundleStore::State::settled));
    BOOST_TEST(good({now + 1, 0}).has_value());
}

BOOST_FIXTURE_TEST_CASE(names_that_are_none_are_passed_over, OriginScene) {
    for (const char* name : {"x", "500000", "0500000.0", "500000.0.0", "99999999999999999999.0", "500000.-1"})
        directory->put(bucket::hourly, name, Octets{1});
    auto at_work = start();
    at_work.origin.run(at(now), policy);
    BOOST_TEST(good({now, 0}).has_value());
    BOOST_TEST(at_work.origin.report().alarms.empty());
}

BOOST_FIXTURE_TEST_CASE(what_a_retired_origin_signed_is_spent, OriginScene) {
    auto other = start_second();
    other.origin.run(at(now), policy);
    const auto theirs = *frame({now, 0});
    retire(second);
    auto at_work = start();
    at_work.origin.run(at(now), policy);
    BOOST_TEST((*frame({now, 0}) == theirs));
    for (auto epoch = now; epoch <= now + 3; ++epoch)
        BOOST_TEST(good({epoch, 1}).has_value());
    BOOST_TEST(at_work.alarmed("origin-2, which is retired"));
    BOOST_TEST(engine.has_one_hourly_key_each());
}

BOOST_FIXTURE_TEST_CASE(origins_of_different_periods_do_not_fight, OriginScene) {
    auto one = start(), other = start_second();
    auto longer = policy;
    longer.period = 3601;
    const daemon::Now same_epoch{begin_of(now, longer) + 7, 1000};
    one.origin.run(at(now), policy);
    other.origin.run(same_epoch, longer);
    const auto there = names();
    BOOST_TEST(other.alarmed("another period"));
    for (int i = 0; i < 3; ++i) {
        one.origin.run(at(now), policy);
        other.origin.run(same_epoch, longer);
    }
    BOOST_TEST((names() == there));
    BOOST_TEST(engine.has_one_hourly_key_each());
}

// --- renewing ---

BOOST_FIXTURE_TEST_CASE(renewing_gives_the_next_revision_without_the_retired, OriginScene) {
    auto at_work = start();
    at_work.origin.run(at(now), policy);
    retire(other_vault);
    at_work.origin.renew(at(now), policy);
    BOOST_TEST(names().size() == 8U);
    for (auto epoch = now; epoch <= now + 3; ++epoch) {
        BOOST_TEST(good({epoch, 0}).value().shares.size() == 2U);
        BOOST_REQUIRE(good({epoch, 1}).has_value());
        BOOST_TEST(share_of(*good({epoch, 1}), other_vault.entry.number) == nullptr);
        BOOST_TEST((good({epoch, 1}).value().hourly_hash != good({epoch, 0}).value().hourly_hash));
    }
    at_work.origin.run(at(now), policy);
    BOOST_TEST(names().size() == 8U);
    at_work.origin.renew(at(now + 2), policy);
    BOOST_TEST(names().size() == 10U);
    BOOST_TEST(good({now + 3, 2}).has_value());
}

BOOST_FIXTURE_TEST_CASE(what_a_wrong_clock_minted_for_next_year_is_renewed_too, OriginScene) {
    constexpr std::uint64_t year = 8766;
    start_second().origin.run(at(now + year), policy);
    auto at_work = start();
    at_work.origin.run(at(now), policy);
    retire(other_vault);
    at_work.origin.renew(at(now), policy);
    BOOST_TEST(good({now + year, 1}).value().shares.size() == 1U);
    BOOST_TEST(good({now, 1}).value().shares.size() == 1U);
}

BOOST_FIXTURE_TEST_CASE(an_origin_with_the_old_list_was_first, OriginScene) {
    auto at_work = start();
    at_work.origin.run(at(now), policy);
    retire(other_vault);
    const auto old_fashioned = mint(second, {now, 1});
    engine.before = [&](unsigned) {
        if (std::filesystem::exists(state / "bundles/500000.1.minted"))
            (void)directory->create(bucket::hourly, "500000.1", old_fashioned);
    };
    at_work.origin.renew(at(now), policy);
    BOOST_TEST((*frame({now, 1}) == old_fashioned));
    BOOST_TEST(good({now, 2}).value().shares.size() == 1U);
    BOOST_TEST(good({now + 1, 1}).value().shares.size() == 1U);
    BOOST_TEST(!good({now + 1, 2}).has_value());
}

BOOST_FIXTURE_TEST_CASE(renewing_that_is_killed_can_be_done_again, OriginScene) {
    for (unsigned call = 0;; ++call) {
        OriginScene scene;
        scene.start().origin.run(scene.at(now), scene.policy);
        scene.engine.calls = 0;
        bool killed = false;
        scene.engine.before = [&](unsigned number) {
            if (number == call && !killed) {
                killed = true;
                throw Killed();
            }
        };
        try {
            scene.start().origin.renew(scene.at(now), scene.policy);
        } catch (const Killed&) {
        }
        scene.engine.let_be();
        scene.start().origin.renew(scene.at(now), scene.policy);
        BOOST_TEST(scene.engine.has_one_hourly_key_each());
        for (auto epoch = now; epoch <= now + 3; ++epoch)
            BOOST_TEST((scene.good({epoch, 1}).has_value() || scene.good({epoch, 2}).has_value()));
        if (!killed)
            break;
    }
}

// --- dropping ---

BOOST_FIXTURE_TEST_CASE(what_is_long_over_goes_by_the_word_of_others, OriginScene) {
    auto one = start(), other = start_second();
    for (auto epoch = now; epoch < now + 30; epoch += 1) {
        (epoch % 2 == 0 ? one : other).origin.run(at(epoch), policy);
        (epoch % 2 == 0 ? other : one).origin.run(at(epoch), policy);
    }
    BOOST_TEST(!frame({now, 0}).has_value());
    BOOST_TEST(names().size() <= 4 + 2 * (kept_over + Origin::ahead));
    BOOST_TEST(good({now + 29 - kept_over, 0}).has_value());
    BOOST_TEST(one.store.held().size() <= names().size());
}

BOOST_FIXTURE_TEST_CASE(a_clock_a_year_ahead_takes_nothing_away, OriginScene) {
    constexpr std::uint64_t year = 8766;
    auto one = start(), other = start_second();
    one.origin.run(at(now), policy);
    for (std::uint64_t hours = 0; hours < 20; ++hours) {
        one.origin.run(at(now + year + hours), policy);
        other.origin.run(at(now + hours), policy);
        for (auto epoch = now + hours; epoch <= now + hours + 3; ++epoch)
            BOOST_TEST(good({epoch, 0}).has_value());
    }
}

BOOST_AUTO_TEST_CASE(what_is_kept) {
    std::vector<std::uint64_t> few, many;
    for (std::uint64_t i = 0; i < 300; ++i) {
        many.push_back(1000 + i);
        if (i < 20)
            few.push_back(1000 + i);
    }
    const auto none = std::nullopt;
    BOOST_TEST(first_kept_epoch(1300, {}, none) == 0U);
    BOOST_TEST(first_kept_epoch(0, few, none) == 0U);
    BOOST_TEST(first_kept_epoch(3, few, 3) == 0U);
    BOOST_TEST(first_kept_epoch(99'999, few, none) == 0U);     // alone, with few
    BOOST_TEST(first_kept_epoch(1300, many, none) == 1132U);   // alone, with many
    BOOST_TEST(first_kept_epoch(1016, few, 1019) == 1008U);    // both agree
    BOOST_TEST(first_kept_epoch(99'999, few, 1019) == 1008U);  // the own clock is ahead
    BOOST_TEST(first_kept_epoch(1016, few, 99'999) == 1008U);  // another's is
    BOOST_TEST(first_kept_epoch(1300, many, 1003) == 1132U);   // another has been away for long
    BOOST_TEST(first_kept_epoch(1005, many, 99'999) == 997U);
}

}  // namespace
}  // namespace stek::fleet
