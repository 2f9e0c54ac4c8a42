// A location's vaults in a small fleet: what they make of what others leave for them, and of what fails.
#define BOOST_TEST_MODULE fleet_location
#include "daemon/fleet/directory_engine.hpp"
#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/list_changes.hpp"
#include "daemon/fleet/location.hpp"
#include "daemon/hpke_error.hpp"
#include "tests/fixtures/full_length.hpp"
#include "tests/fixtures/location_scene.hpp"
#include "tests/fixtures/workspace.hpp"
#include "tests/unit/memory_vault.hpp"

#include <functional>
#include <memory>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <openssl/rsa.h>
#include <openssl/x509.h>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;

namespace {

constexpr std::uint64_t start = 500000, year = 8760;
const daemon::Policy hours{scene_period, 7200};

std::int64_t at(std::uint64_t epoch, std::int64_t second = 60) {
    return static_cast<std::int64_t>(epoch * scene_period) + second;
}

/// An engine that fails before its n-th call, or after it was done.
class FaultyEngine : public Engine {
  public:
    explicit FaultyEngine(Engine& real) : real_(&real) {}
    unsigned fail_at = 0, calls = 0;
    bool answer_is_lost = false, is_away = false;

    bool create(const std::string& bucket, const std::string& key, Bytes value) override {
        return call<bool>([&] { return real_->create(bucket, key, value); });
    }
    void put(const std::string& bucket, const std::string& key, Bytes value) override {
        call<bool>([&] { return real_->put(bucket, key, value), true; });
    }
    std::optional<std::vector<std::uint8_t>> get(const std::string& bucket, const std::string& key) override {
        return call<std::optional<std::vector<std::uint8_t>>>([&] { return real_->get(bucket, key); });
    }
    std::vector<std::string> list(const std::string& bucket, const std::string& prefix) override {
        return call<std::vector<std::string>>([&] { return real_->list(bucket, prefix); });
    }
    void erase(const std::string& bucket, const std::string& key) override {
        call<bool>([&] { return real_->erase(bucket, key), true; });
    }
    std::unique_ptr<Watch> watch(const std::string& bucket) override { return real_->watch(bucket); }
    [[nodiscard]] std::string name() const override { return real_->name(); }

  private:
    template <class Result, class Act>
    Result call(Act act) {
        const bool fails = is_away || ++calls == fail_at;
        if (fails && !answer_is_lost)
            throw EngineError("the engine is away");
        Result result = act();
        if (fails)
            throw EngineError("the engine's answer is lost");
        return result;
    }
    Engine* real_;
};

/// One vault's stekd: what it remembers outlives it.
struct Site {
    Site(LocationScene& scene, Engine& real, SceneParty& who, std::string directory,
         std::uint64_t chain = start, const std::string& secret = "C")
        : scene(&scene), party(&who), engine(real), directory(std::move(directory)), token(secret, chain) {
        restart();
    }
    void restart() {
        location.reset();
        lists = std::make_unique<KnownLists>(directory, scene->root().point, scene_location);
        location = std::make_unique<Location>(party->self, *lists, engine, token,
                                              file.empty() ? LocationMemory{} : decode_location_memory(file),
                                              [this](const LocationMemory& memory) {
                                                  ++saves;
                                                  if (before_save)
                                                      before_save(memory);
                                                  file = encode_memory(memory);
                                              });
    }
    void run(std::int64_t now) { location->run({now, 1000}, hours); }
    [[nodiscard]] LocationMemory remembered() const { return decode_location_memory(file); }
    [[nodiscard]] const std::vector<std::string>& alarms() const { return location->report().alarms; }
    [[nodiscard]] bool alarmed(const std::string& part) const {
        return std::ranges::any_of(
            alarms(), [&](const std::string& alarm) { return alarm.find(part) != std::string::npos; });
    }
    [[nodiscard]] std::size_t acts(const std::string& prefix) const {
        return static_cast<std::size_t>(std::ranges::count_if(
            token.acts, [&](const std::string& act) { return act.starts_with(prefix); }));
    }

    LocationScene* scene;
    SceneParty* party;
    FaultyEngine engine;
    std::string directory;
    MemoryVault token;
    std::vector<std::uint8_t> file;
    unsigned saves = 0;
    std::function<void(const LocationMemory&)> before_save;
    std::unique_ptr<KnownLists> lists;
    std::unique_ptr<Location> location;
};

/// One origin, two vaults of one location, two machines that have offered pairs; epochs from `start`.
struct Fleet {
    Fleet() {
        scene.publish_lists();
        offer_pairs(start);
    }
    void offer_pairs(std::uint64_t epoch) {
        for (std::uint64_t ahead = 0; ahead < 4; ++ahead) {
            scene.offer(web1, epoch + ahead, static_cast<std::uint8_t>(epoch + ahead));
            scene.offer(web2, epoch + ahead, static_cast<std::uint8_t>(100 + epoch + ahead));
        }
    }
    void mint(std::uint64_t epoch) {
        for (std::uint64_t ahead = 0; ahead < 4; ++ahead)
            if (!real->get(bucket::hourly, bundle_key({epoch + ahead, 0})))
                scene.mint_to_engine(origin, {epoch + ahead, 0});
    }
    Site site(SceneParty& vault, std::uint64_t chain = start, const std::string& secret = "C") {
        return {scene, *real, vault, workspace.subdirectory("state"), chain, secret};
    }
    std::optional<MachineRecord> record(KeyId key) { return scene.record(vault1, web1, key); }
    void empty_bucket(const std::string& bucket) {
        for (const auto& key : real->list(bucket, ""))
            real->erase(bucket, key);
    }

    test::Workspace workspace{"location"};
    std::unique_ptr<Engine> real = make_directory_engine(workspace.subdirectory("engine"));
    LocationScene scene{*real};
    SceneParty& origin = scene.add_origin("origin-1");
    SceneParty& other_origin = scene.add_origin("origin-2");
    SceneParty& vault1 = scene.add_vault("vault-1");
    SceneParty& vault2 = scene.add_vault("vault-2");
    SceneParty& elsewhere = scene.add_vault("vault-3", "ams1");
    SceneParty& web1 = scene.add_machine("web-1");
    SceneParty& web2 = scene.add_machine("web-2");
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_list_of_a_vault_that_is_retired_is_signed_anew_by_another, Fleet) {
    Site site = this->site(vault2);
    site.run(at(start));
    const auto by_vault1 = *real->get(scene.bucket(), KnownLists::machines_key);
    const auto before = *site.lists->machines();
    const auto signer = [&] {
        return peek_frame(*real->get(scene.bucket(), KnownLists::machines_key), Kind::list, scene.id())
            .signer;
    };
    const auto newcomer = [&] {
        KnownLists lists("", scene.root().point, scene_location);
        (void)lists.refresh(*real);
        return lists.machines() != nullptr ? lists.machines()->parties.size() : 0;
    };
    BOOST_TEST(signer() == vault1.entry.number);
    BOOST_TEST(newcomer() == 2U);
    scene.retire(vault1);  // and the machines' list as it was
    real->put(scene.bucket(), KnownLists::machines_key, by_vault1);
    BOOST_TEST(newcomer() == 0U);

    site.run(at(start, 120));
    BOOST_TEST(signer() == vault2.entry.number);
    BOOST_TEST(site.lists->machines()->serial == before.serial + 1);
    BOOST_TEST((site.lists->machines()->parties == before.parties));
    BOOST_TEST(newcomer() == 2U);
    site.run(at(start, 180));  // once is enough
    BOOST_TEST(site.lists->machines()->serial == before.serial + 1);
}

BOOST_FIXTURE_TEST_CASE(a_day_in_the_life, Fleet) {
    Site site = this->site(vault1);
    site.run(at(start));
    BOOST_TEST(site.token.pre_keys().size() == 5U);
    BOOST_TEST(real->list(bucket::pre_keys, "vault-1.").size() == 5U);
    BOOST_TEST(site.location->report().pre_keys_left == 5U);
    BOOST_TEST(site.acts("derive") == 0U);
    for (std::uint64_t epoch = start; epoch < start + 24; ++epoch) {
        offer_pairs(epoch);
        mint(epoch);
        site.run(at(epoch));
        for (std::uint64_t ahead = 0; ahead < 4; ++ahead)
            for (const SceneParty* machine : {&web1, &web2}) {
                const auto record = scene.record(vault1, *machine, {epoch + ahead, 0});
                BOOST_REQUIRE(record);
                BOOST_TEST(record->not_before == at(epoch + ahead, 0));
                BOOST_TEST(record->seal_until == at(epoch + ahead + 1, 0));
                BOOST_TEST(record->open_until == at(epoch + ahead + 3, 0));
                BOOST_TEST(record->period == scene_period);
                BOOST_TEST(record->machine == machine->entry.number);
            }
        BOOST_TEST((site.token.chain_epoch() == epoch));
        BOOST_TEST(site.token.pre_keys().size() == 5U);
        BOOST_TEST(site.token.pre_keys().front() == epoch);
        BOOST_TEST(site.alarms().empty(), boost::test_tools::per_element());
        BOOST_TEST(site.location->report().last_epoch == epoch + 3);
        BOOST_TEST(site.location->report().machines == 2U);
    }
    // Each key once for both machines; records and pre-keys that are over are taken away.
    BOOST_TEST(site.acts("derive") == 27U);
    BOOST_TEST(site.acts("advance") == 23U);
    BOOST_TEST(real->list(scene.bucket(), "record.web-1.").size() < 14U);
    BOOST_TEST(site.remembered().pinned.size() < 8U);
    // The bundles were sealed to pre-keys.
    const auto quiet = site.token.acts.size();
    const auto saves = site.saves;
    site.run(at(start + 23, 120));
    BOOST_TEST(site.token.acts.size() == quiet);
    BOOST_TEST(site.saves == saves);
    BOOST_TEST(real->list(bucket::pre_keys, "vault-1.").size() == 5U);
}

BOOST_FIXTURE_TEST_CASE(a_record_opens_for_its_machine_alone, Fleet) {
    Site site = this->site(vault1);
    mint(start);
    site.run(at(start));
    const auto found = record({start, 0});
    BOOST_REQUIRE(found);
    SecretArray<admission_key_size> admission;
    open_admission_key(*found, scene.id(), web1.self.sealing->key.get(), web1.self.sealing->point, admission);
    BOOST_CHECK_THROW(open_admission_key(*found, scene.id(), web2.self.sealing->key.get(),
                                         web2.self.sealing->point, admission),
                      hpke::Error);
}

BOOST_FIXTURE_TEST_CASE(the_chain_key_goes_before_the_pre_key, Fleet) {
    Site site = this->site(vault1);
    site.run(at(start));
    mint(start);
    site.run(at(start));
    site.token.acts.clear();
    site.run(at(start + 1));
    const std::vector<std::string> expected{"make " + std::to_string(start + 5),
                                            "advance " + std::to_string(start + 1),
                                            "destroy " + std::to_string(start)};
    BOOST_TEST(site.token.acts == expected, boost::test_tools::per_element());
    // Killed in between: the next run ends it, without the engine.
    site.token.fail_at = 2 + 1;
    BOOST_CHECK_THROW(site.run(at(start + 2)), std::runtime_error);
    BOOST_TEST((site.token.chain_epoch() == start + 2));
    BOOST_TEST(site.token.pre_keys().front() == start + 1);
    site.token.fail_at = 0;
    site.restart();
    site.engine.is_away = true;
    BOOST_CHECK_THROW(site.run(at(start + 2)), EngineError);
    BOOST_TEST(site.token.pre_keys().front() == start + 2);
}

BOOST_FIXTURE_TEST_CASE(an_engine_that_is_away_keeps_no_past_hour_alive, Fleet) {
    Site site = this->site(vault1);
    mint(start);
    site.run(at(start));
    site.engine.is_away = true;
    for (std::uint64_t epoch = start + 1; epoch < start + 10; ++epoch) {
        BOOST_CHECK_THROW(site.run(at(epoch)), EngineError);
        BOOST_TEST((site.token.chain_epoch() == std::min(epoch, start + 3)));
    }
}

BOOST_FIXTURE_TEST_CASE(pins_are_durable_before_the_first_derivation, Fleet) {
    Site site = this->site(vault1);
    mint(start);
    site.before_save = [](const LocationMemory&) { throw std::runtime_error("the disk is full"); };
    for (unsigned i = 0; i < 3; ++i)
        BOOST_CHECK_THROW(site.run(at(start)), std::runtime_error);
    BOOST_TEST(site.acts("derive") == 0U);
    site.before_save = [&](const LocationMemory& memory) {
        BOOST_TEST(memory.pinned.size() == 4U);
        BOOST_TEST((memory.counter > 0 || site.acts("derive") == 0U));
    };
    site.run(at(start));
    BOOST_TEST(site.acts("derive") == 4U);
    for (const auto& [key, hash] : site.remembered().pinned)
        BOOST_TEST((hash == frame_hash(*real->get(bucket::hourly, bundle_key(key)))));
}

BOOST_FIXTURE_TEST_CASE(counters_are_reserved_in_blocks_and_never_repeat, Fleet) {
    Site site = this->site(vault1);
    mint(start);
    std::set<std::uint64_t> seen;
    for (unsigned restart = 0; restart < 5; ++restart) {
        const auto saves = site.saves;
        site.run(at(start));
        BOOST_TEST(site.saves - saves <= 2U);
        for (std::uint64_t ahead = 0; ahead < 4; ++ahead)
            for (const SceneParty* machine : {&web1, &web2}) {
                const auto record = scene.record(vault1, *machine, {start + ahead, 0});
                BOOST_TEST(seen.insert(record->counter).second);
                BOOST_TEST(record->counter <= site.remembered().counter);
            }
        empty_bucket(scene.bucket());
        scene.publish_lists();
        offer_pairs(start);
        site.restart();
    }
}

BOOST_FIXTURE_TEST_CASE(another_bundle_for_a_pinned_key_is_told_once_and_not_used, Fleet) {
    Site site = this->site(vault1);
    mint(start);
    site.run(at(start));
    const auto name = record({start, 0})->name;
    scene.mint_to_engine(origin, {start, 0}, 1);
    for (const bool restarted : {false, true}) {
        if (restarted)
            site.restart();
        real->erase(scene.bucket(), "record.web-1." + bundle_key({start, 0}));
        site.run(at(start, 120));
        BOOST_TEST(site.alarmed("has signed another one"));
        site.run(at(start, 180));
        BOOST_TEST(site.alarms().empty());
        // Who has opened the first one goes on with it; after a restart nobody can.
        BOOST_TEST(record({start, 0}).has_value() == !restarted);
        BOOST_TEST((restarted || record({start, 0})->name == name));
    }
    // The same bundle, signed again: ECDSA signatures differ.
    mint(start);
    scene.mint_to_engine(origin, {start + 3, 0});
}

BOOST_FIXTURE_TEST_CASE(the_same_bundle_signed_again_is_the_same, Fleet) {
    Site site = this->site(vault1);
    const auto minted = scene.bundle(origin, {start, 0});
    real->put(bucket::hourly, bundle_key({start, 0}), scene.frame_of(origin, minted));
    site.run(at(start));
    real->put(bucket::hourly, bundle_key({start, 0}), scene.frame_of(origin, minted));
    site.restart();
    real->erase(scene.bucket(), "record.web-1." + bundle_key({start, 0}));
    site.run(at(start));
    BOOST_TEST(site.alarms().empty());
    BOOST_TEST(record({start, 0}).has_value());
}

BOOST_FIXTURE_TEST_CASE(a_bundle_in_another_s_place_is_a_replay, Fleet) {
    Site site = this->site(vault1);
    mint(start);
    site.run(at(start));
    const auto old = *real->get(bucket::hourly, bundle_key({start, 0}));
    real->put(bucket::hourly, bundle_key({start + 4, 0}), old);
    real->put(bucket::hourly, bundle_key({start + 1, 1}), old);
    site.run(at(start, 120));
    BOOST_TEST(site.alarms().size() == 2U);
    BOOST_TEST(site.alarmed("replayed in another's place"));
    BOOST_TEST(!site.remembered().pinned.contains({start + 4, 0}));
    // Below the chain's epoch nothing is looked at.
    site.run(at(start + 2));
    const auto acts = site.token.acts.size();
    site.run(at(start + 2));
    BOOST_TEST(site.token.acts.size() == acts);
    BOOST_TEST(!site.remembered().pinned.contains({start - 1, 0}));
}

BOOST_FIXTURE_TEST_CASE(bundles_too_far_ahead_are_not_looked_at, Fleet) {
    Site site = this->site(vault1);
    for (std::uint64_t ahead : {0U, 4U, 5U, 100U})
        scene.mint_to_engine(origin, {start + ahead, 0});
    site.run(at(start));
    BOOST_TEST(site.remembered().pinned.size() == 2U);
    BOOST_TEST(site.remembered().pinned.contains({start + 4, 0}));
}

BOOST_FIXTURE_TEST_CASE(bundles_that_are_not_good_move_nothing, Fleet) {
    Site site = this->site(vault1);
    const KeyId key{start + 1, 0};
    const auto good = scene.mint(origin, key);
    auto signature = good, body = good;
    signature.back() ^= 1;
    body[100] ^= 1;
    // A fleet of its own, with parties of the same numbers.
    const auto other_engine = make_directory_engine(workspace.subdirectory("other"));
    LocationScene other(*other_engine);
    SceneParty& stranger = other.add_origin("origin-1");
    other.add_origin("origin-2");
    other.add_vault("vault-1");
    SceneParty impostor = {origin.entry, {}};
    impostor.self.fleet = scene.id();
    impostor.self.signing = memory_key();
    SceneParty unenrolled = {origin.entry, {}};
    unenrolled.self.fleet = scene.id();
    unenrolled.self.signing = memory_key();
    unenrolled.entry.number = 4711;
    SceneParty by_vault = {vault1.entry, {}};
    by_vault.self.fleet = scene.id();
    auto wrong_window = scene.bundle(origin, key);
    wrong_window.not_before -= 1;
    auto no_share = scene.bundle(origin, key);
    std::erase_if(no_share.shares,
                  [&](const SealedHourly& share) { return share.vault == vault1.entry.number; });
    auto elsewhere_share = scene.bundle(origin, key);
    const auto own = std::ranges::find(elsewhere_share.shares, vault1.entry.number, &SealedHourly::vault);
    const auto theirs =
        std::ranges::find(elsewhere_share.shares, elsewhere.entry.number, &SealedHourly::vault);
    own->enc = theirs->enc;
    own->sealed = theirs->sealed;
    auto other_pre_key = scene.bundle(origin, key);
    std::ranges::find(other_pre_key.shares, vault1.entry.number, &SealedHourly::vault)->pre_key =
        static_cast<std::uint32_t>(start + 2);

    struct Case {
        const char* what;
        std::vector<std::uint8_t> frame;
        bool is_signed;  ///< then the chain may follow it
    };
    const std::vector<Case> cases{
        {"a signature of other bytes", signature, false},
        {"other bytes", body, false},
        {"cut short", {good.begin(), good.end() - 1}, false},
        {"empty", {}, false},
        {"another fleet's", other.mint(stranger, key), false},
        {"an impostor's", scene.mint(impostor, key), false},
        {"an unenrolled origin's", scene.mint(unenrolled, key), false},
        {"a vault's",
         vault1.self.sign(Kind::bundle, vault1.entry.number, encode_bundle(scene.bundle(by_vault, key))),
         false},
        {"of another period", scene.frame_of(origin, wrong_window), false},
        {"without a share", scene.frame_of(origin, no_share), true},
        {"with another location's share", scene.frame_of(origin, elsewhere_share), true},
        {"sealed to another epoch's pre-key", scene.frame_of(origin, other_pre_key), true},
    };
    for (const Case& bad : cases) {
        BOOST_TEST_CONTEXT(bad.what) {
            Site fresh = this->site(vault1);
            real->put(bucket::hourly, bundle_key(key), bad.frame);
            fresh.run(at(start));
            BOOST_TEST(fresh.alarms().size() == 1U);
            BOOST_TEST(fresh.acts("derive") == 0U);
            BOOST_TEST(fresh.file.empty());
            fresh.run(at(start + 1));
            BOOST_TEST((fresh.token.chain_epoch() == start + (bad.is_signed ? 1 : 0)));
            BOOST_TEST(fresh.alarms().empty());
        }
    }
}

BOOST_FIXTURE_TEST_CASE(a_retired_origin_is_not_believed, Fleet) {
    Site site = this->site(vault1);
    mint(start);
    scene.retire(origin);
    site.run(at(start));
    BOOST_TEST(site.acts("derive") == 0U);
    BOOST_TEST(site.alarms().size() == 4U);
    scene.mint_to_engine(other_origin, {start, 1});
    site.run(at(start));
    BOOST_TEST(site.acts("derive") == 1U);
    BOOST_TEST(record({start, 1}).has_value());
}

BOOST_FIXTURE_TEST_CASE(who_is_not_in_the_list_does_nothing, Fleet) {
    Site site = this->site(vault1);
    mint(start);
    scene.retire(vault1);
    BOOST_CHECK_THROW(site.run(at(start)), FrameError);
    BOOST_TEST(site.token.acts.empty());
    BOOST_TEST(real->list(bucket::pre_keys, "").empty());
}

BOOST_FIXTURE_TEST_CASE(no_chain_key_no_work, Fleet) {
    Site site = this->site(vault1);
    site.token = MemoryVault("C", {});
    mint(start);
    site.run(at(start));
    BOOST_TEST(site.alarmed("ceremony"));
    BOOST_TEST(site.token.acts.empty());
}

BOOST_DATA_TEST_CASE_F(Fleet, offline_and_back, boost::unit_test::data::make({3U, 30U, 1000U, 5000U}), off) {
    Site site = this->site(vault1);
    site.run(at(start));
    mint(start);
    site.run(at(start));
    site.token.acts.clear();
    site.restart();
    // Meanwhile another vault of the location went on; the engine has the present alone.
    const std::uint64_t now = start + off;
    for (const auto& name : real->list(bucket::hourly, ""))
        if (parse_bundle_key(name)->epoch < now)
            real->erase(bucket::hourly, name);
    mint(now);
    offer_pairs(now);
    site.run(at(now));
    BOOST_TEST(site.acts("advance") == 1U);
    BOOST_TEST((site.token.chain_epoch() == now));
    BOOST_TEST(site.token.pre_keys().front() == now);
    // Those ahead are sealed to its long-lived key, for its pre-keys of then were not there.
    BOOST_TEST(site.alarms().empty(), boost::test_tools::per_element());
    for (std::uint64_t ahead = 0; ahead < 4; ++ahead)
        BOOST_TEST(record({now + ahead, 0}).has_value());
}

BOOST_FIXTURE_TEST_CASE(a_machine_that_is_new_in_mid_epoch_gets_all_that_opens, Fleet) {
    Site site = this->site(vault1);
    mint(start);
    site.run(at(start));
    SceneParty& late = scene.add_machine("web-3");
    scene.publish_lists();
    for (std::uint64_t ahead = 0; ahead < 4; ++ahead)
        scene.offer(late, start + ahead, static_cast<std::uint8_t>(ahead + 1));
    const auto others = *real->get(scene.bucket(), "record.web-1." + bundle_key({start, 0}));
    site.run(at(start, 1800));
    for (std::uint64_t ahead = 0; ahead < 4; ++ahead)
        BOOST_TEST(scene.record(vault1, late, {start + ahead, 0}).has_value());
    BOOST_TEST((scene.record(vault1, late, {start, 0})->name == record({start, 0})->name));
    BOOST_TEST((*real->get(scene.bucket(), "record.web-1." + bundle_key({start, 0})) == others));
}

BOOST_FIXTURE_TEST_CASE(a_machine_that_was_booted_gets_records_for_its_new_pairs, Fleet) {
    Site site = this->site(vault1);
    mint(start);
    site.run(at(start));
    const auto before = record({start, 0});
    scene.offer(web1, start, 77);
    site.run(at(start, 120));
    const auto after = record({start, 0});
    BOOST_TEST((after->pair != before->pair));
    BOOST_TEST((after->name == before->name));
    BOOST_TEST(after->counter > before->counter);
}

BOOST_FIXTURE_TEST_CASE(a_retired_machine_gets_nothing_more, Fleet) {
    Site site = this->site(vault1);
    scene.retire(web1);
    mint(start);
    site.run(at(start));
    BOOST_TEST(real->list(scene.bucket(), "record.web-1.").empty());
    BOOST_TEST(real->list(scene.bucket(), "record.web-2.").size() == 4U);
    BOOST_TEST(site.location->report().machines == 1U);
}

namespace {

/// Vaults that do not see each other have both signed the next list of machines. The first vault's goes
/// before.
struct SplitFleet : Fleet {
    SplitFleet() {
        mint(start);
        second.run(at(start));
        by_first = by_second = *second.lists->machines();
        ++by_first.serial;
        ++by_second.serial;
    }
    void put(const SceneParty& vault, const PartyList& list) {
        real->put(scene.bucket(), KnownLists::machines_key,
                  list_frame(scene.id(), vault.entry.number, vault.self.signing.key.get(), list));
    }
    void heal() {
        put(vault2, by_second);
        second.run(at(start, 120));
        BOOST_TEST((*second.lists->machines() == by_second));
        put(vault1, by_first);
        second.run(at(start, 180));
        BOOST_TEST((*second.lists->machines() == by_first));
    }
    Site second = site(vault2);
    PartyList by_first, by_second;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_list_that_goes_before_may_have_fewer_machines, SplitFleet) {
    for (const auto* name : {"web-0", "aaa"})
        by_second.parties.push_back(scene.add_machine(name).entry);
    heal();
    second.run(at(start, 240));
    BOOST_TEST(second.location->report().machines == by_first.parties.size());
}

BOOST_FIXTURE_TEST_CASE(the_list_that_goes_before_may_have_more_machines, SplitFleet) {
    for (const auto* name : {"web-0", "web-3"}) {
        auto& machine = scene.add_machine(name);
        by_first.parties.push_back(machine.entry);
        scene.offer(machine, start, 50);
    }
    heal();
    const auto derived = second.acts("derive");
    const auto there = real->get(scene.bucket(), record_key("web-3", {start, 0}));
    BOOST_TEST(there.has_value());
    for (const unsigned second_of_epoch : {240U, 300U})
        second.run(at(start, second_of_epoch));
    BOOST_TEST(second.acts("derive") == derived);
    BOOST_TEST((real->get(scene.bucket(), record_key("web-3", {start, 0})) == there));
}

BOOST_FIXTURE_TEST_CASE(a_pair_that_was_good_for_a_machine_is_not_good_for_the_next_in_its_place,
                        SplitFleet) {
    auto &web7 = scene.add_machine("web-7"), &web8 = scene.add_machine("web-8");
    web7.entry.number = web8.entry.number = by_first.parties.back().number + 1;
    by_second.parties.push_back(web7.entry);
    by_first.parties.push_back(web8.entry);
    scene.offer(web7, start, 77);
    put(vault2, by_second);
    second.run(at(start, 120));
    BOOST_TEST(real->get(scene.bucket(), record_key("web-7", {start, 0})).has_value());
    put(vault1, by_first);
    real->put(scene.bucket(), pair_key("web-8", start), *real->get(scene.bucket(), pair_key("web-7", start)));
    second.run(at(start, 180));
    BOOST_TEST(!real->get(scene.bucket(), record_key("web-8", {start, 0})).has_value());
    BOOST_TEST(second.alarms().size() == 1U);
}

BOOST_FIXTURE_TEST_CASE(pairs_that_are_not_good_get_nothing, Fleet) {
    Site site = this->site(vault1);
    mint(start);
    MachinePair pair = scene.offer(web1, start, 1);
    const auto name = pair_key("web-1", start);
    const auto expect_none = [&](const char* what) {
        site.run(at(start));
        BOOST_TEST(!record({start, 0}).has_value(), what);
        BOOST_TEST(site.alarms().size() == 1U, what);
        site.run(at(start));
        BOOST_TEST(site.alarms().empty(), what);
    };
    scene.put_pair(web2, name, pair);
    expect_none("signed by another machine");
    MachinePair other = pair;
    other.machine = web2.entry.number;
    scene.put_pair(web1, name, other);
    expect_none("another machine's number");
    other = pair;
    other.location = "ams1";
    scene.put_pair(web1, name, other);
    expect_none("another location's");
    other = pair;
    other.epoch = start + 1;
    scene.put_pair(web1, name, other);
    expect_none("another epoch's");
    scene.put_pair(vault1, name, pair);
    expect_none("signed by a vault");
    real->put(scene.bucket(), name, std::vector<std::uint8_t>{1, 2, 3});
    expect_none("no frame");
    scene.put_pair(web1, name, pair);
    site.run(at(start));
    BOOST_TEST(record({start, 0}).has_value());
}

BOOST_FIXTURE_TEST_CASE(a_pair_that_the_token_refuses_keeps_nobody_else_waiting, Fleet) {
    Site site = this->site(vault1);
    mint(start);
    EVP_PKEY* key = EVP_RSA_gen(2048);
    unsigned char* der = nullptr;
    const int size = i2d_PUBKEY(key, &der);
    site.token.refused_spki.assign(der, der + size);
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    scene.offer(web1, start, 5, site.token.refused_spki);
    site.run(at(start));
    BOOST_TEST(!record({start, 0}).has_value());
    BOOST_TEST(scene.record(vault1, web2, {start, 0}).has_value());
    BOOST_TEST(record({start + 1, 0}).has_value());
    BOOST_TEST(site.alarmed("could not be wrapped for machine web-1"));
}

BOOST_FIXTURE_TEST_CASE(a_token_that_is_down_is_no_machine_s_fault, Fleet) {
    Site site = this->site(vault1);
    site.run(at(start));
    mint(start);
    site.token.is_down = true;
    BOOST_CHECK_THROW(site.run(at(start)), std::runtime_error);
    BOOST_TEST(site.alarms().empty());
}

BOOST_FIXTURE_TEST_CASE(records_that_are_not_good_are_made_anew, Fleet) {
    Site site = this->site(vault1);
    mint(start);
    site.run(at(start));
    const auto name = record_key("web-1", {start, 0});
    const auto good = *real->get(scene.bucket(), name);
    const auto of_web2 = *real->get(scene.bucket(), record_key("web-2", {start, 0}));
    auto bad_signature = good;
    bad_signature.back() ^= 1;
    for (const auto& bad : {std::vector<std::uint8_t>{}, bad_signature, of_web2}) {
        real->put(scene.bucket(), name, bad);
        site.restart();
        site.run(at(start));
        BOOST_REQUIRE(record({start, 0}));
        BOOST_TEST(record({start, 0})->machine == web1.entry.number);
    }
    // Without a restart it is found with the next epoch.
    real->put(scene.bucket(), record_key("web-1", {start + 1, 0}), bad_signature);
    site.run(at(start + 1));
    BOOST_TEST(record({start + 1, 0}).has_value());
}

// Whoever can write to the engine would stop a location otherwise.
BOOST_FIXTURE_TEST_CASE(what_is_larger_than_any_value_stops_nothing, Fleet) {
    Site site = this->site(vault1);
    site.run(at(start));
    mint(start);
    site.run(at(start));
    const auto enlarge = [&](const std::string& bucket, const std::string& key) {
        const auto file = workspace.path() / "engine0" / bucket / key;
        BOOST_TEST_CONTEXT(file) {
            real->put(bucket, key, std::vector<std::uint8_t>{0});
            std::filesystem::resize_file(file, Engine::max_value + 1);
            site.restart();
            site.run(at(start));
            BOOST_TEST(site.alarmed(key + " is not used: "));
        }
    };
    const auto record_of_web1 = record_key("web-1", {start, 0});
    enlarge(scene.bucket(), record_of_web1);
    BOOST_TEST(record({start, 0}).has_value());
    enlarge(bucket::pre_keys, pre_key_key("vault-1", start + 1));
    BOOST_TEST(real->get(bucket::pre_keys, pre_key_key("vault-1", start + 1)).has_value());
    enlarge(bucket::hourly, bundle_key({start + 1, 7}));
    enlarge(scene.bucket(), pair_key("web-1", start + 2));
    real->erase(scene.bucket(), record_key("web-2", {start, 0}));
    site.run(at(start));
    BOOST_TEST(scene.record(vault1, web2, {start, 0}).has_value());
}

BOOST_FIXTURE_TEST_CASE(a_clock_a_year_ahead_destroys_what_bundles_allow_and_no_more, Fleet) {
    Site site = this->site(vault1);
    site.run(at(start));
    mint(start);
    site.run(at(start));
    const auto records = real->list(scene.bucket(), "record.");
    for (unsigned minute = 0; minute < 60; ++minute)
        site.run(at(start + year + minute));
    BOOST_TEST((site.token.chain_epoch() == start + 3));
    BOOST_TEST(site.token.pre_keys().front() == start + 3);
    BOOST_TEST(site.token.pre_keys().size() <= most_pre_keys);
    BOOST_TEST(real->list(scene.bucket(), "record.") == records, boost::test_tools::per_element());
    // Put right, it goes on.
    offer_pairs(start + 1);
    mint(start + 1);
    site.run(at(start + 1));
    BOOST_TEST(record({start + 4, 0}).has_value());
    BOOST_TEST(site.alarms().empty(), boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(a_clock_a_year_behind_destroys_nothing, Fleet) {
    Site site = this->site(vault1);
    site.run(at(start));
    mint(start);
    site.run(at(start));
    const auto acts = site.token.acts.size();
    const auto records = real->list(scene.bucket(), "record.");
    for (const std::uint64_t epoch : {start - year, std::uint64_t{0}, start - 1}) {
        site.restart();
        site.run(at(epoch));
        BOOST_TEST(site.token.acts.size() == acts);
        BOOST_TEST(real->list(scene.bucket(), "record.") == records, boost::test_tools::per_element());
        BOOST_TEST(site.token.pre_keys().size() == 5U);
    }
}

BOOST_FIXTURE_TEST_CASE(an_engine_that_lost_all_is_filled_again, Fleet) {
    Site site = this->site(vault1);
    site.run(at(start));
    mint(start);
    site.run(at(start));
    const auto name = record({start, 0})->name;
    for (const auto& bucket : {scene.bucket(), std::string(bucket::pre_keys), std::string(bucket::hourly),
                               std::string(bucket::fleet)})
        empty_bucket(bucket);
    site.run(at(start, 120));
    BOOST_TEST(real->list(bucket::pre_keys, "").size() == 5U);
    BOOST_TEST(real->get(bucket::fleet, "list").has_value());
    offer_pairs(start);  // by the machines
    site.run(at(start, 180));
    BOOST_REQUIRE(record({start, 0}));
    BOOST_TEST((record({start, 0})->name == name));
}

BOOST_FIXTURE_TEST_CASE(pre_keys_that_are_not_in_the_token_are_taken_back, Fleet) {
    Site site = this->site(vault1);
    site.run(at(start));
    site.token = MemoryVault("C", start + 2);
    site.token.make_half_a_pre_key(start + 3);
    site.restart();
    site.run(at(start + 1));
    BOOST_TEST(real->list(bucket::pre_keys, "").size() == 4U);
    mint(start + 2);
    offer_pairs(start + 2);
    site.run(at(start + 1));
    BOOST_TEST(site.alarms().empty(), boost::test_tools::per_element());
    BOOST_TEST(site.location->report().last_epoch == start + 5);
}

BOOST_FIXTURE_TEST_CASE(two_vaults_of_a_location_agree, Fleet) {
    Site first = site(vault1), second = site(vault2);
    first.run(at(start));
    second.run(at(start));
    mint(start);
    first.run(at(start));
    second.run(at(start));
    BOOST_TEST(first.acts("derive") == 4U);
    BOOST_TEST(second.acts("derive") == 0U);
    BOOST_TEST(second.alarms().empty());
    BOOST_TEST((second.token.chain_epoch() == start));
    // The first is away: the second derives what is missing, under the same names.
    const auto name = record({start, 0})->name;
    real->erase(scene.bucket(), record_key("web-1", {start, 0}));
    second.run(at(start, 120));
    BOOST_TEST((scene.record(vault2, web1, {start, 0})->name == name));
    BOOST_TEST(second.alarms().empty());
    first.run(at(start, 180));
    BOOST_TEST(scene.record(vault2, web1, {start, 0}).has_value());
}

BOOST_FIXTURE_TEST_CASE(vaults_with_different_chain_keys_are_told, Fleet) {
    Site first = site(vault1), second = site(vault2, start, "another C");
    mint(start);
    first.run(at(start));
    real->erase(scene.bucket(), record_key("web-2", {start, 0}));
    second.run(at(start));
    BOOST_TEST(second.alarmed("do not have the same chain key"));
}

BOOST_FIXTURE_TEST_CASE(a_later_revision_ends_the_seal_window_of_new_records, Fleet) {
    Site site = this->site(vault1);
    mint(start);
    site.run(at(start));
    for (std::uint64_t ahead = 0; ahead < 4; ++ahead)
        scene.mint_to_engine(origin, {start + ahead, 1});
    site.run(at(start, 600));
    BOOST_TEST(record({start, 1})->not_before == at(start, 600));
    BOOST_TEST(record({start, 1})->seal_until == at(start + 1, 0));
    BOOST_TEST(record({start + 1, 1})->not_before == at(start + 1, 0));
    BOOST_TEST((record({start, 1})->name != record({start, 0})->name));
    // What is there stays: the machine seals with the newest it has. A new one is told that the old is over.
    BOOST_TEST(record({start, 0})->seal_until == at(start + 1, 0));
    scene.offer(web1, start, 78);
    scene.offer(web1, start + 1, 79);
    site.run(at(start, 660));
    BOOST_TEST(record({start, 0})->seal_until == at(start, 660));
    BOOST_TEST(record({start, 0})->open_until == at(start + 3, 0));
    BOOST_TEST((record({start + 1, 0})->pair != record({start + 1, 1})->pair));
}

BOOST_FIXTURE_TEST_CASE(revoked_is_revoked_everywhere_and_for_good, Fleet) {
    Site first = site(vault1), second = site(vault2);
    mint(start);
    first.run(at(start));
    second.run(at(start));
    first.location->revoke({{start, 0}}, {at(start, 300), 1000}, hours);
    for (const SceneParty* machine : {&web1, &web2}) {
        const auto record = scene.record(vault1, *machine, {start, 0});
        BOOST_REQUIRE(record);
        BOOST_TEST(record->revoked);
        BOOST_TEST(record->open_until == at(start + 3, 0));
        BOOST_TEST(!scene.record(vault1, *machine, {start + 1, 0})->revoked);
    }
    BOOST_TEST(first.remembered().revoked.contains({start, 0}));
    // Neither a restart, nor another pair, nor the other vault, nor an engine that shows an old record.
    first.restart();
    scene.offer(web1, start, 80);
    first.run(at(start, 360));
    BOOST_TEST(record({start, 0})->revoked);
    second.restart();
    second.run(at(start, 420));
    BOOST_TEST(second.remembered().revoked.contains({start, 0}));
    empty_bucket(scene.bucket());
    scene.publish_lists();
    offer_pairs(start);
    second.run(at(start, 480));
    BOOST_TEST(scene.record(vault2, web1, {start, 0})->revoked);
    first.run(at(start, 540));
    BOOST_TEST(!first.token.acts.empty());
    // The chain moves on by its bundle all the same; once nothing of it opens any more, it is forgotten.
    for (std::uint64_t epoch = start + 1; epoch < start + 5; ++epoch) {
        mint(epoch);
        offer_pairs(epoch);
        first.run(at(epoch));
    }
    BOOST_TEST(first.remembered().revoked.empty());
}

BOOST_FIXTURE_TEST_CASE(what_is_revoked_stays_so_by_a_clock_a_year_ahead, Fleet) {
    Site site = this->site(vault1);
    mint(start);
    site.run(at(start));
    site.location->revoke({{start + 3, 0}}, {at(start, 300), 1000}, hours);
    for (unsigned i = 0; i < 3; ++i)
        site.run(at(start + year + i));
    BOOST_TEST(site.remembered().revoked.contains({start + 3, 0}));
    site.restart();
    site.run(at(start, 600));
    BOOST_TEST(record({start + 3, 0})->revoked);
}

BOOST_FIXTURE_TEST_CASE(a_revocation_that_cannot_be_remembered_is_not_undone, Fleet) {
    Site first = site(vault1), second = site(vault2);
    mint(start);
    first.run(at(start));
    second.run(at(start));
    const KeyId key{start + 1, 0};
    first.location->revoke({key}, {at(start, 300), 1000}, hours);
    unsigned failed = 0;
    second.before_save = [&](const LocationMemory&) {
        ++failed;
        throw std::runtime_error("the disk is full");
    };
    for (const unsigned second_of_epoch : {60U, 120U, 180U})
        BOOST_CHECK_THROW(second.run(at(start + 1, second_of_epoch)), std::runtime_error);
    BOOST_TEST(failed == 3U);
    second.before_save = nullptr;
    second.run(at(start + 1, 240));
    BOOST_TEST(second.remembered().revoked.contains(key));
    for (const auto* machine : {"web-1", "web-2"}) {
        const auto frame = *real->get(scene.bucket(), record_key(machine, key));
        BOOST_TEST(peek_frame(frame, Kind::record, scene.id()).signer == vault1.entry.number);
        BOOST_TEST(decode_record(body_of(frame)).revoked);
    }
}

// One record is enough, also if it came after this vault has looked at them all.
BOOST_FIXTURE_TEST_CASE(another_s_revocation_that_was_cut_short_keeps_a_machine_from_new_records, Fleet) {
    Site first = site(vault1), second = site(vault2);
    mint(start);
    first.run(at(start));
    second.run(at(start));
    const KeyId key{start, 0};
    const auto is_revoked = [&](const char* machine) {
        return decode_record(body_of(*real->get(scene.bucket(), record_key(machine, key)))).revoked;
    };
    for (unsigned nth = 1; !is_revoked("web-1"); ++nth) {
        first.engine.fail_at = first.engine.calls + nth;
        BOOST_CHECK_THROW(first.location->revoke({key}, {at(start, 300), 1000}, hours), EngineError);
    }
    BOOST_TEST(!is_revoked("web-2"));
    scene.offer(web2, start, 99);  // it was booted
    second.run(at(start, 360));
    BOOST_TEST(second.remembered().revoked.contains(key));
    BOOST_TEST(is_revoked("web-2"));
}

BOOST_FIXTURE_TEST_CASE(what_comes_after_a_revocation_is_revoked_again, Fleet) {
    Site first = site(vault1);
    mint(start);
    first.run(at(start));
    const KeyId key{start, 0};
    const auto live = *real->get(scene.bucket(), record_key("web-2", key));
    first.location->revoke({key}, {at(start, 300), 1000}, hours);
    const auto revoked = *real->get(scene.bucket(), record_key("web-2", key));
    first.run(at(start, 360));
    BOOST_TEST((real->get(scene.bucket(), record_key("web-2", key)) == revoked));
    // Another vault was making it in that moment.
    real->put(scene.bucket(), record_key("web-2", key), live);
    first.run(at(start, 420));
    BOOST_TEST(decode_record(body_of(*real->get(scene.bucket(), record_key("web-2", key)))).revoked);
}

BOOST_FIXTURE_TEST_CASE(a_revocation_that_was_cut_short_goes_on, Fleet) {
    Site site = this->site(vault1);
    mint(start);
    site.run(at(start));
    site.engine.is_away = true;
    BOOST_CHECK_THROW(site.location->revoke({{start, 0}}, {at(start, 300), 1000}, hours), EngineError);
    site.engine.is_away = false;
    site.restart();
    site.run(at(start, 360));
    BOOST_TEST(record({start, 0})->revoked);
    BOOST_TEST(scene.record(vault1, web2, {start, 0})->revoked);
}

namespace {

/// What machines and the token see in the end.
std::vector<std::string> outcome(Fleet& fleet, Site& site) {
    std::vector<std::string> seen;
    for (const auto& name : fleet.real->list(fleet.scene.bucket(), "record.")) {
        const auto record =
            decode_record(open_frame(*fleet.real->get(fleet.scene.bucket(), name), Kind::record,
                                     fleet.scene.id(), fleet.vault1.entry.signing_key));
        seen.push_back(name + " " + std::to_string(record.seal_until) + (record.revoked ? " revoked " : " ") +
                       std::string(record.name.begin(), record.name.end()));
    }
    for (const auto& name : fleet.real->list(bucket::pre_keys, ""))
        seen.push_back(name);
    for (const auto epoch : site.token.pre_keys())
        seen.push_back("pre-key " + std::to_string(epoch));
    seen.push_back("chain " + std::to_string(*site.token.chain_epoch()));
    // Of epochs that the chain has left, pins are forgotten with the next that is remembered.
    for (const auto& [key, hash] : site.remembered().pinned)
        if (key.epoch >= site.token.chain_epoch())
            seen.push_back("pin " + bundle_key(key));
    return seen;
}

/// A first run, an epoch's edge, another revision; `fault` is set for the last of the three. Then once more.
std::vector<std::string> story(const std::function<void(Site&)>& fault, bool killed, bool& failed) {
    Fleet fleet;
    Site site = fleet.site(fleet.vault1);
    site.run(at(start));
    fleet.mint(start);
    site.run(at(start));
    fleet.scene.mint_to_engine(fleet.origin, {start + 1, 1});
    fleet.offer_pairs(start + 1);
    fleet.mint(start + 1);
    fault(site);
    failed = false;
    try {
        site.run(at(start + 1));
    } catch (const std::runtime_error&) {
        failed = true;
    }
    failed = failed || !site.alarms().empty();
    site.engine.fail_at = site.token.fail_at = 0;
    site.before_save = nullptr;
    if (killed)
        site.restart();
    site.run(at(start + 1));
    return outcome(fleet, site);
}

}  // namespace

BOOST_AUTO_TEST_CASE(whatever_fails_the_next_run_comes_to_the_same) {
    bool failed = false;
    const auto whole = story([](Site&) {}, false, failed);
    BOOST_REQUIRE(!failed);
    unsigned faults = 0;
    const unsigned step = test::at_full_length() ? 1 : 5;
    for (const bool killed : {false, true})
        for (const auto& fault : std::vector<std::function<void(Site&, unsigned)>>{
                 [](Site&site, unsigned n) { site.engine.fail_at = site.engine.calls + n; },
                 [](Site&site, unsigned n) {
                     site.engine.fail_at = site.engine.calls + n;
                     site.engine.answer_is_lost = true;
                 },
                 [](Site&site, unsigned n) { site.token.fail_at = n; },
                 [](Site&site, unsigned n) {
                     site.before_save = [n](const LocationMemory&) mutable {
                         if (--n == 0)
                             throw std::runtime_error("the disk is full");
                     };
                 }})
            for (unsigned n = 1;; n += step, ++faults) {
                const auto seen = story([&](Site& site) { fault(site, n); }, killed, failed);
                BOOST_TEST(seen == whole, boost::test_tools::per_element());
                if (!failed)
                    break;
            }
    BOOST_TEST_MESSAGE(faults << " faults");
    BOOST_TEST(faults * step > 100U);
}
