// A location at work on real tokens: chain, pre-keys and STEK-KDF in a vault, its records in a ticket token.
#define BOOST_TEST_MODULE fleet_location_vault
#include "daemon/config.hpp"
#include "daemon/fleet/directory_engine.hpp"
#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/location.hpp"
#include "daemon/fleet/location_vault.hpp"
#include "provider/ticket_token.hpp"
#include "tests/fixtures/location_scene.hpp"
#include "tests/fixtures/workspace.hpp"
#include "tests/token/known_keys.hpp"

#include <algorithm>
#include <array>

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;

namespace {

constexpr std::uint64_t start = 500000;
const daemon::Policy hours{scene_period, 7200};
const std::vector<std::uint8_t> chain_value(32, 0xC0);

std::int64_t at(std::uint64_t epoch) {
    return static_cast<std::int64_t>(epoch * scene_period) + 60;
}

/// Both tokens are made before SoftHSM is initialised: it does not see later ones.
struct TwoTokens {
    SoftHsm softhsm;
    TestToken vault_made = softhsm.make_token("vault"), ticket_made = softhsm.make_token("ticket");
    pkcs11::Session vault = open(vault_made), ticket = open(ticket_made);

    static pkcs11::Session open(const TestToken& made) {
        return log_in(find_token(SoftHsm::uri(made)), "file:" + made.pin_file.string());
    }
    [[nodiscard]] daemon::Config config() const {
        daemon::Config config;
        config.vault = pkcs11::TokenUri::parse(SoftHsm::uri_with_pin(vault_made));
        config.module_config = softhsm.conf().string();
        config.provider = STEK_MODULE;
        return config;
    }
};

struct Vault : TwoTokens {
    explicit Vault(ChainPosition at = {start, start}) {
        auto key = known_chain_key(chain_value, at);
        vault.create(key);
    }
    TokenKeys keys{vault};
    daemon::Deriver deriver{config()};
    LocationVault work{vault, keys, deriver};
};

struct Scene : Vault {
    Scene() {
        party.self.signing = keys.make(Use::signing);
        party.self.sealing = keys.make(Use::sealing);
        party.entry.signing_key = party.self.signing.point;
        party.entry.sealing_key = party.self.sealing->point;
        scene.publish_lists();
    }
    void run(std::uint64_t epoch) {
        location.run({at(epoch), 1000}, hours);
        BOOST_TEST(location.report().alarms.empty(), boost::test_tools::per_element());
    }
    TicketPair offer_real_pair(std::uint64_t epoch) {
        const TicketPair made = make_ticket_pair(ticket, false);
        MachinePair pair;
        pair.machine = machine.entry.number;
        pair.location = scene_location;
        pair.epoch = epoch;
        pair.pair = made.id;
        pair.oaep = ticket_oaep_hash(ticket.shared_token());
        pair.public_key = made.spki;
        scene.put_pair(machine, pair_key(machine.entry.name, epoch), pair);
        return made;
    }

    test::Workspace workspace{"location-vault"};
    std::unique_ptr<Engine> engine = make_directory_engine(workspace.subdirectory("engine"));
    LocationScene scene{*engine};
    SceneParty& origin = scene.add_origin("origin-1");
    SceneParty& party = scene.add_vault("vault-1");
    SceneParty& machine = scene.add_machine("web-1");
    KnownLists lists{workspace.subdirectory("state"), scene.root().point, scene_location};
    Location location{party.self, lists, *engine, work, {}, [](const LocationMemory&) {}};
};

/// Seals and opens 16 bytes with it; the ciphertext.
std::vector<std::uint8_t> use(pkcs11::Session& session, CK_OBJECT_HANDLE key) {
    std::array<std::uint8_t, 12> iv{};
    const std::array<std::uint8_t, 16> plain{1, 2, 3};
    std::vector<std::uint8_t> sealed(32), opened(32);  // SoftHSM wants room for the tag, too
    CK_GCM_PARAMS params{iv.data(), iv.size(), 96, nullptr, 0, 128};
    CK_MECHANISM mechanism{CKM_AES_GCM, &params, sizeof params};
    CK_RV rv = CKR_OK;
    sealed.resize(session.encrypt(mechanism, key, plain, sealed, rv));
    BOOST_REQUIRE_EQUAL(pkcs11::rv_name(rv), "CKR_OK");
    opened.resize(session.decrypt(mechanism, key, sealed, opened, rv));
    BOOST_TEST(opened == plain, boost::test_tools::per_element());
    return sealed;
}

std::vector<std::uint8_t> use(pkcs11::Session& ticket, const MachineRecord& record) {
    RingRecord ring;
    ring.pair = record.pair;
    ring.oaep = record.oaep;
    ring.wrapped_key = record.wrapped_key;
    const pkcs11::ScopedObject key(ticket, unwrap_stek(ticket, ring));
    return use(ticket, key.get());
}

std::size_t objects(pkcs11::Session& session, bool in_token) {
    pkcs11::Attributes all;
    all.flag(CKA_TOKEN, in_token);
    return session.find(all).size();
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_record_works_in_the_ticket_token, Scene) {
    run(start);
    BOOST_TEST(work.pre_keys().size() == 5U);
    BOOST_TEST(engine->list(bucket::pre_keys, "vault-1.").size() == 5U);
    scene.mint_to_engine(origin, {start, 0});
    const auto shares = scene.bundle(origin, {start, 0}).shares;
    BOOST_TEST(shares.front().pre_key == start);
    const TicketPair first = offer_real_pair(start);
    run(start);
    const auto before = scene.record(party, machine, {start, 0});
    BOOST_REQUIRE(before);
    BOOST_TEST((before->pair == first.id));
    const auto sealed = use(ticket, *before);

    // For another pair the same key.
    offer_real_pair(start);
    run(start);
    const auto after = scene.record(party, machine, {start, 0});
    BOOST_REQUIRE(after);
    BOOST_TEST((after->pair != before->pair));
    BOOST_TEST((after->name == before->name));
    BOOST_TEST(use(ticket, *after) == sealed, boost::test_tools::per_element());
    SecretArray<admission_key_size> one, two;
    const auto& sealing = *machine.self.sealing;
    open_admission_key(*before, scene.id(), sealing.key.get(), sealing.point, one);
    open_admission_key(*after, scene.id(), sealing.key.get(), sealing.point, two);
    BOOST_TEST(std::ranges::equal(one.bytes(), two.bytes()));
    BOOST_TEST(objects(vault, false) == 0U);
}

BOOST_FIXTURE_TEST_CASE(an_epoch_that_is_over_is_gone_from_the_token, Scene) {
    run(start);
    scene.mint_to_engine(origin, {start, 0});
    scene.mint_to_engine(origin, {start + 1, 0});
    offer_real_pair(start);
    offer_real_pair(start + 1);
    run(start);
    const auto ahead = scene.record(party, machine, {start + 1, 0});
    BOOST_REQUIRE(ahead);
    run(start + 1);
    BOOST_TEST((Chain(vault).position() == ChainPosition{start + 1, start + 1}));
    BOOST_TEST(work.pre_keys().front() == start + 1);
    // One chain key; signing, sealing and five pre-keys have two halves each.
    BOOST_TEST(objects(vault, true) == 1U + 2U * 7U);
    // From the chain key of its own epoch the key is what it was from the one before.
    engine->erase(scene.bucket(), record_key("web-1", {start + 1, 0}));
    run(start + 1);
    BOOST_TEST((scene.record(party, machine, {start + 1, 0})->name == ahead->name));
    BOOST_TEST(use(ticket, *scene.record(party, machine, {start + 1, 0})) == use(ticket, *ahead),
               boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(a_thousand_epochs_in_one_step, Scene) {
    run(start);
    scene.mint_to_engine(origin, {start + 1000, 0});
    offer_real_pair(start + 1000);
    run(start + 1000);
    BOOST_TEST((work.chain_epoch() == start + 1000));
    use(ticket, scene.record(party, machine, {start + 1000, 0}).value());
}

BOOST_FIXTURE_TEST_CASE(one_call_for_many_pairs_gives_each_the_same_key, Vault) {
    const RsaPair one, two, small(2048);
    const std::vector<Bytes> spkis{one.spki(), two.spki(), small.spki(), one.spki()};
    HourlyKey hourly;
    WrappedSteks steks;
    work.derive({start + 3, 2}, hourly, spkis, OaepHash::sha1, steks);
    BOOST_REQUIRE(steks.wrapped_keys.size() == 4U);
    BOOST_TEST(steks.wrapped_keys[2].size() == 256U);
    WrappedStek alone;
    derive_stek(vault, Chain(vault).at_epoch(start + 3).get(), 2, hourly.bytes(), one.spki(), alone,
                OaepHash::sha1);
    BOOST_TEST((alone.name == steks.name));
    BOOST_TEST(std::ranges::equal(alone.admission_key.bytes(), steks.admission_key.bytes()));
    const auto stek = one.unwrap(alone.wrapped_key, "SHA1");
    BOOST_TEST(stek.size() == 32U);
    BOOST_TEST((one.unwrap(steks.wrapped_keys[0], "SHA1") == stek));
    BOOST_TEST((two.unwrap(steks.wrapped_keys[1], "SHA1") == stek));
    BOOST_TEST((small.unwrap(steks.wrapped_keys[2], "SHA1") == stek));
    BOOST_TEST((one.unwrap(steks.wrapped_keys[3], "SHA1") == stek));
    // All or nothing, and the next call works.
    const std::vector<std::uint8_t> no_key(300, 0x30);
    const std::vector<Bytes> one_is_bad{one.spki(), no_key};
    BOOST_CHECK_THROW(work.derive({start, 0}, hourly, one_is_bad, OaepHash::sha1, steks), std::runtime_error);
    BOOST_CHECK_THROW(work.derive({start - 1, 0}, hourly, spkis, OaepHash::sha1, steks), std::runtime_error);
    work.derive({start + 3, 2}, hourly, spkis, OaepHash::sha1, steks);
    BOOST_TEST((alone.name == steks.name));
    BOOST_TEST(objects(vault, false) == 0U);
}

BOOST_AUTO_TEST_CASE(a_chain_that_counts_rotations_is_none_of_a_fleet) {
    Vault vault({7, start});
    BOOST_CHECK_THROW(vault.work.chain_epoch(), pkcs11::TokenError);
}

BOOST_FIXTURE_TEST_CASE(what_a_kill_left_of_an_advance_is_ended_by_the_next, Vault) {
    auto newer = known_chain_key(chain_value, {start + 1, start + 1});
    vault.create(newer);
    BOOST_TEST((work.chain_epoch() == start + 1));
    work.advance_chain(start + 1);
    BOOST_TEST(objects(vault, true) == 1U);
    work.advance_chain(start + 2);
    BOOST_TEST((work.chain_epoch() == start + 2));
    BOOST_TEST(objects(vault, true) == 1U);
}
