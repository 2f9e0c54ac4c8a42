// The ceremony with real tokens: each vault has its own.
#define BOOST_TEST_MODULE fleet_ceremony
#include "daemon/config.hpp"
#include "daemon/fleet/ceremony.hpp"
#include "daemon/fleet/ceremony_pair.hpp"
#include "daemon/fleet/directory_engine.hpp"
#include "daemon/fleet/durable_file.hpp"
#include "daemon/fleet/location_vault.hpp"
#include "tests/fixtures/location_scene.hpp"
#include "tests/fixtures/workspace.hpp"
#include "tests/token/known_keys.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;

namespace {

using Frame = std::vector<std::uint8_t>;
constexpr std::uint64_t start = 500000;

std::size_t count(pkcs11::Session& session, CK_OBJECT_CLASS what, bool in_token) {
    pkcs11::Attributes pattern;
    pattern.number(CKA_CLASS, what).flag(CKA_TOKEN, in_token);
    return session.find(pattern).size();
}

/// A vault that is enrolled, with its token and its state directory.
struct CeremonyVault {
    CeremonyVault(const TestToken& made, SceneParty& party, LocationScene& scene, const std::string& state)
        : token(made), party(party), state(state), lists(state, scene.root().point, party.self.location) {
        party.self.signing = keys.make(Use::signing);
        party.self.sealing = keys.make(Use::sealing);
        party.entry.signing_key = party.self.signing.point;
        party.entry.sealing_key = party.self.sealing->point;
    }
    Ceremony ceremony() { return {session, party.self, lists, state}; }
    std::optional<ChainPosition> chain() { return Chain(session).position(); }
    /// Neither pairs nor anything in the session.
    void check_left_nothing(std::size_t chain_keys) {
        BOOST_TEST(count(session, CKO_SECRET_KEY, true) == chain_keys);
        BOOST_TEST(count(session, CKO_PRIVATE_KEY, true) == 2U);  // signing, sealing
        BOOST_TEST(count(session, CKO_PUBLIC_KEY, true) == 2U);
        for (const auto what : {CKO_SECRET_KEY, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY})
            BOOST_TEST(count(session, what, false) == 0U);
    }
    [[nodiscard]] bool has_unsigned_shares() const {
        return std::filesystem::exists(state + "/ceremony.shares");
    }

    TestToken token;
    SceneParty& party;
    std::string state;
    KnownLists lists;
    pkcs11::Session session = log_in(find_token(SoftHsm::uri(token)), "file:" + token.pin_file.string());
    TokenKeys keys{session};
};

/// Three vaults of a location and one of another.
struct Scene {
    Scene() { refresh(); }
    void refresh() {
        scene.publish_lists();
        for (auto* vault : {&first, &second, &third, &foreign})
            vault->lists.refresh(*engine);
    }
    void retire(CeremonyVault& vault) {
        vault.party.entry.standing = Standing::retired;
        refresh();
    }
    CeremonyVault enroll(const char* name, const char* location, const TestToken& token) {
        return {token, scene.add_vault(name, location), scene, workspace.subdirectory("state")};
    }
    /// Signed by that party, whatever it says.
    Frame share_by(const SceneParty& signer, const CeremonyShare& share) const {
        return signer.self.sign(Kind::ceremony_share, signer.entry.number, encode_share(share));
    }
    static CeremonyShare read(const Frame& frame) {
        return decode_share(Bytes(frame).subspan(frame_head_size, frame.size() - frame_overhead));
    }

    test::Workspace workspace{"ceremony"};
    std::unique_ptr<Engine> engine = make_directory_engine(workspace.subdirectory("engine"));
    LocationScene scene{*engine};
    SoftHsm softhsm;
    std::array<TestToken, 4> tokens{softhsm.make_token("first"), softhsm.make_token("second"),
                                    softhsm.make_token("third"), softhsm.make_token("foreign")};
    CeremonyVault first = enroll("vault-1", scene_location, tokens[0]);
    CeremonyVault second = enroll("vault-2", scene_location, tokens[1]);
    CeremonyVault third = enroll("vault-3", scene_location, tokens[2]);
    CeremonyVault foreign = enroll("vault-4", "ams1", tokens[3]);
};

template <class Error, class Call>
void check_refused(const std::string& reason, const Call& call) {
    BOOST_CHECK_EXCEPTION(call(), Error, [&](const Error& error) {
        BOOST_TEST_INFO(error.what());
        return std::string(error.what()).find(reason) != std::string::npos;
    });
}

KeyName name_of(CeremonyVault& vault, const SoftHsm& softhsm, KeyId key) {
    daemon::Config config;
    config.vault = pkcs11::TokenUri::parse(SoftHsm::uri_with_pin(vault.token));
    config.module_config = softhsm.conf().string();
    config.provider = STEK_MODULE;
    const daemon::Deriver deriver(config);
    LocationVault work(vault.session, vault.keys, deriver);
    HourlyKey hourly;
    std::ranges::fill(hourly.span(), std::uint8_t{0x48});
    const std::vector<Bytes> spkis{LocationScene::some_spki()};
    WrappedSteks steks;
    work.derive(key, hourly, spkis, OaepHash::sha1, steks);
    BOOST_TEST((work.chain_epoch() == Chain(vault.session).position()->epoch));
    return steks.name;
}

void check_not_extractable(CeremonyVault& vault) {
    pkcs11::Attributes pattern;
    pattern.number(CKA_CLASS, CKO_SECRET_KEY).flag(CKA_TOKEN, true);
    const auto found = vault.session.find(pattern);
    BOOST_REQUIRE(found.size() == 1U);
    const auto flag = [&](CK_ATTRIBUTE_TYPE type) {
        return vault.session.attribute(found.front(), type).value().front() != 0;
    };
    BOOST_TEST(flag(CKA_SENSITIVE));
    BOOST_TEST(!flag(CKA_EXTRACTABLE));
    BOOST_TEST(flag(CKA_PRIVATE));
    BOOST_TEST(flag(CKA_DERIVE));
    for (const CK_ATTRIBUTE_TYPE usage :
         {CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP})
        BOOST_TEST(!flag(usage));
    BOOST_TEST(!vault.session.attribute(found.front(), CKA_VALUE));
    const RsaPair thief;
    const auto wrapping = import_rsa_public(vault.session, thief.spki());
    OaepMechanism mechanism(OaepHash::sha1);
    BOOST_CHECK_THROW(vault.session.wrap(mechanism.get(), wrapping.get(), found.front()), pkcs11::Error);
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(all_vaults_derive_the_same, Scene) {
    const std::vector<Frame> offers{third.ceremony().offer(), second.ceremony().offer()};
    for (const auto& offer : offers)
        BOOST_TEST(offer.size() == largest_frame(Kind::ceremony_offer));
    BOOST_TEST(count(second.session, CKO_PRIVATE_KEY, true) == 3U);
    const auto shares = first.ceremony().make(start, offers);
    BOOST_REQUIRE(shares.size() == 2U);
    BOOST_TEST(shares[0].vault == "vault-3");
    BOOST_TEST(shares[1].vault == "vault-2");
    first.ceremony().done();
    BOOST_TEST(second.ceremony().take(shares[1].frame) == start);
    BOOST_TEST(third.ceremony().take(shares[0].frame) == start);
    for (auto* vault : {&first, &second, &third}) {
        BOOST_TEST((vault->chain() == ChainPosition{start, start}));
        vault->check_left_nothing(1);
        BOOST_TEST(!vault->has_unsigned_shares());
    }
    const KeyName name = name_of(first, softhsm, {start, 0});
    const KeyName later = name_of(first, softhsm, {start + 7, 2});
    BOOST_TEST((name != later));
    for (auto* vault : {&second, &third}) {
        BOOST_TEST((name_of(*vault, softhsm, {start, 0}) == name));
        BOOST_TEST((name_of(*vault, softhsm, {start + 7, 2}) == later));
    }
    // Also when one has gone on and the other has not.
    Chain(second.session).advance(5, start + 5);
    BOOST_TEST((name_of(second, softhsm, {start + 7, 2}) == later));
    for (auto* vault : {&first, &second, &third})
        check_not_extractable(*vault);
}

BOOST_FIXTURE_TEST_CASE(a_vault_alone_makes_its_chain, Scene) {
    BOOST_TEST(foreign.ceremony().make(start, {}).empty());
    BOOST_TEST((foreign.chain() == ChainPosition{start, start}));
    foreign.check_left_nothing(1);
    BOOST_TEST(!foreign.has_unsigned_shares());
    BOOST_TEST(foreign.ceremony().unfinished().empty());
    check_not_extractable(foreign);
}

BOOST_FIXTURE_TEST_CASE(no_vault_is_left_out, Scene) {
    const Frame offer = second.ceremony().offer();
    check_refused<CeremonyRefused>("no offer by vault-2, vault-3", [&] { first.ceremony().make(start, {}); });
    check_refused<CeremonyRefused>("no offer by vault-3", [&] { first.ceremony().make(start, {offer}); });
    first.check_left_nothing(0);
    retire(third);
    BOOST_TEST(first.ceremony().make(start, {offer}).size() == 1U);
}

BOOST_FIXTURE_TEST_CASE(a_vault_with_a_chain_refuses_each_step, Scene) {
    retire(third);
    const auto shares = first.ceremony().make(start, {second.ceremony().offer()});
    second.ceremony().take(shares.front().frame);
    const auto first_name = name_of(first, softhsm, {start, 0});
    // A pair, as a kill in take() may leave it, is of no use any more.
    make_ceremony_pair(second.session, {7});
    check_refused<CeremonyRefused>("holds a chain key already",
                                   [&] { second.ceremony().take(shares.front().frame); });
    second.check_left_nothing(1);
    for (auto* vault : {&first, &second}) {
        check_refused<CeremonyRefused>("holds a chain key already", [&] { vault->ceremony().offer(); });
        check_refused<CeremonyRefused>("holds a chain key already",
                                       [&] { vault->ceremony().make(start + 1, {}); });
        vault->check_left_nothing(1);
        BOOST_TEST((name_of(*vault, softhsm, {start, 0}) == first_name));
    }
    // One that was a location of its own counts too.
    auto key = known_chain_key(std::vector<std::uint8_t>(32, 0xC0), {3, start});
    foreign.session.create(key);
    check_refused<CeremonyRefused>("holds a chain key already", [&] { foreign.ceremony().offer(); });
}

BOOST_FIXTURE_TEST_CASE(offers_of_others_are_refused, Scene) {
    const Frame of_second = second.ceremony().offer(), of_third = third.ceremony().offer();
    const auto check = [&](const std::string& reason, const std::vector<Frame>& offers) {
        BOOST_TEST_CONTEXT(reason) {
            check_refused<FrameError>(reason, [&] { first.ceremony().make(start, offers); });
            BOOST_TEST((first.chain() == std::nullopt));
            BOOST_TEST(!first.has_unsigned_shares());
        }
    };
    check("a vault of another location", {of_second, of_third, foreign.ceremony().offer()});
    check("this vault's own", {of_second, of_third, first.ceremony().offer()});
    check("two of vault", {of_second, of_third, of_second});
    // Signed by an active vault of the location, but in another's name, or with another location.
    CeremonyOffer lie{third.party.entry.number, scene_location, {1}, OaepHash::sha1, RsaPair().spki()};
    check("of another fleet",
          {of_second,
           make_frame({Kind::ceremony_offer, FleetId{9}, lie.vault}, encode_offer(lie),
                      [&](Bytes bytes) { return sign_with(third.party.self.signing.key.get(), bytes); })});
    const auto by_second = [&](const CeremonyOffer& offer) {
        return second.party.self.sign(Kind::ceremony_offer, second.party.entry.number, encode_offer(offer));
    };
    check("but signed by vault", {of_second, by_second(lie)});
    lie.vault = second.party.entry.number;
    lie.location = "ams1";
    check("of location ams1, but signed by", {of_third, by_second(lie)});
    SceneParty& machine = scene.add_machine("web-1");
    refresh();
    check("who may not", {machine.self.sign(Kind::ceremony_offer, machine.entry.number, encode_offer(lie))});
    Frame flipped = of_second;
    flipped[frame_head_size + 200] ^= 1;
    check("signature", {flipped, of_third});
    retire(third);
    check("who is retired", {of_second, of_third});
    BOOST_TEST(first.ceremony().make(start, {of_second}).size() == 1U);
    first.check_left_nothing(1);  // its own offer's pair is gone, too
}

BOOST_FIXTURE_TEST_CASE(shares_that_are_not_for_it_are_refused, Scene) {
    const Frame old_offer = second.ceremony().offer();
    const std::vector<Frame> offers{second.ceremony().offer(), third.ceremony().offer()};
    const auto shares = first.ceremony().make(start, offers);
    const Frame &mine = shares[0].frame, &other = shares[1].frame;
    const auto check = [&]<class Error>(const std::string& reason, const Frame& share, Error*) {
        BOOST_TEST_CONTEXT(reason) {
            check_refused<Error>(reason, [&] { second.ceremony().take(share); });
            BOOST_TEST((second.chain() == std::nullopt));
            BOOST_TEST(count(second.session, CKO_PRIVATE_KEY, true) == 3U);  // the pair is still there
        }
    };
    FrameError* const frame_error = nullptr;
    CeremonyRefused* const refused = nullptr;
    check("for vault 3; this one is vault 2", other, frame_error);
    CeremonyShare share = read(mine);
    share.nonce = decode_offer(Bytes(old_offer).subspan(frame_head_size, 508)).nonce;
    check("is for an offer of this vault that is void", share_by(first.party, share), refused);
    share = read(mine);
    share.location = "ams1";
    check("for location ams1", share_by(first.party, share), frame_error);
    share = read(mine);
    check("by vault 2 for vault 2", share_by(second.party, share), frame_error);
    check("a vault of another location", share_by(foreign.party, share), frame_error);
    share.check[0] ^= 1;
    check("opens to another chain key", share_by(first.party, share), refused);
    Frame flipped = mine;
    flipped[frame_head_size + 90] ^= 1;
    check("signature", flipped, frame_error);
    flipped = mine;
    flipped.pop_back();
    check("as it says", flipped, frame_error);
    first.party.entry.standing = Standing::retired;
    refresh();
    check("who is retired", mine, frame_error);
    first.party.entry.standing = Standing::active;
    refresh();
    BOOST_TEST(second.ceremony().take(mine) == start);
    check_refused<CeremonyRefused>("holds a chain key already", [&] { second.ceremony().take(mine); });
    second.check_left_nothing(1);
}

BOOST_FIXTURE_TEST_CASE(a_share_that_does_not_open_leaves_all_as_it_was, Scene) {
    retire(third);
    const auto shares = first.ceremony().make(start, {second.ceremony().offer()});
    CeremonyShare share = read(shares.front().frame);
    share.wrapped[7] ^= 1;
    {
        auto session = pkcs11::Session(second.session.shared_token(), pkcs11::Access::read_write);
        Ceremony ceremony(session, second.party.self, second.lists, second.state);
        BOOST_CHECK_THROW(ceremony.take(share_by(first.party, share)), pkcs11::Error);
    }
    BOOST_TEST((second.chain() == std::nullopt));
    BOOST_TEST(second.ceremony().take(shares.front().frame) == start);
    BOOST_TEST((name_of(second, softhsm, {start, 0}) == name_of(first, softhsm, {start, 0})));
}

BOOST_FIXTURE_TEST_CASE(the_pair_unwraps_to_nothing_but_a_seed, Scene) {
    const auto offer = decode_offer(Bytes(second.ceremony().offer()).subspan(frame_head_size, 508));
    const auto pair = find_ceremony_pair(second.session, offer.nonce);
    BOOST_REQUIRE(pair != CK_INVALID_HANDLE);
    pkcs11::Session session(second.session.shared_token(), pkcs11::Access::read_write);
    auto seed = Chain(session).make_seed();
    const auto wrapping = import_rsa_public(session, offer.public_key);
    OaepMechanism mechanism(offer.oaep);
    const auto wrapped = session.wrap(mechanism.get(), wrapping.get(), seed.get());
    for (const bool extractable : {true, false}) {
        pkcs11::Attributes key;
        key.number(CKA_CLASS, CKO_SECRET_KEY)
            .number(CKA_KEY_TYPE, CKK_AES)
            .flag(CKA_TOKEN, false)
            .flag(CKA_SENSITIVE, !extractable)
            .flag(CKA_EXTRACTABLE, extractable)
            .flag(CKA_ENCRYPT, true);
        BOOST_CHECK_THROW(session.unwrap(mechanism.get(), pair, wrapped, key), pkcs11::Error);
    }
    std::array<std::uint8_t, 384> out{};
    CK_RV rv = CKR_OK;
    session.decrypt(mechanism.get(), pair, wrapped, out, rv);
    BOOST_TEST(rv != CKR_OK);
    const auto opened = unwrap_seed(second.session, pair, offer.oaep, wrapped);
    BOOST_TEST(!second.session.attribute(opened.get(), CKA_VALUE));
}

// --- kills ---

BOOST_FIXTURE_TEST_CASE(an_offer_that_was_lost_is_void, Scene) {
    retire(third);
    const Frame lost = second.ceremony().offer(), last = second.ceremony().offer();
    BOOST_TEST(count(second.session, CKO_PRIVATE_KEY, true) == 3U);
    const auto shares = first.ceremony().make(start, {last});
    BOOST_TEST(second.ceremony().take(shares.front().frame) == start);
}

BOOST_FIXTURE_TEST_CASE(shares_that_were_not_given_are_given_again, Scene) {
    retire(third);
    const auto shares = first.ceremony().make(start, {second.ceremony().offer()});
    BOOST_TEST(first.has_unsigned_shares());
    // Killed here: nothing of `shares` was written.
    const auto again = first.ceremony().unfinished();
    BOOST_REQUIRE(again.size() == 1U);
    BOOST_TEST(again.front().vault == "vault-2");
    BOOST_TEST((read(again.front().frame) == read(shares.front().frame)));
    first.ceremony().done();
    BOOST_TEST(!first.has_unsigned_shares());
    BOOST_TEST(first.ceremony().unfinished().empty());
    BOOST_TEST(second.ceremony().take(again.front().frame) == start);
    BOOST_TEST((name_of(second, softhsm, {start, 0}) == name_of(first, softhsm, {start, 0})));
}

BOOST_FIXTURE_TEST_CASE(shares_of_a_chain_that_is_not_there_are_nobodys, Scene) {
    retire(third);
    const Frame offer = second.ceremony().offer();
    const auto dead = first.ceremony().make(start, {offer});
    // As if killed between the file and the token.
    pkcs11::Attributes pattern;
    pattern.number(CKA_CLASS, CKO_SECRET_KEY).flag(CKA_TOKEN, true);
    first.session.destroy(first.session.find(pattern).front());
    BOOST_TEST(first.has_unsigned_shares());
    BOOST_TEST(first.ceremony().unfinished().empty());
    const auto shares = first.ceremony().make(start, {offer});
    BOOST_TEST((read(shares.front().frame).check != read(dead.front().frame).check));
    BOOST_TEST((read(first.ceremony().unfinished().front().frame) == read(shares.front().frame)));
    // A file from elsewhere, or a chain that went on: it cannot be told.
    replace_durably(first.state, "ceremony.shares", encode_share(read(dead.front().frame)));
    check_refused<CeremonyRefused>("not of the chain as it is now", [&] { first.ceremony().unfinished(); });
    replace_durably(first.state, "ceremony.shares", encode_share(read(shares.front().frame)));
    BOOST_TEST(first.ceremony().unfinished().size() == 1U);
    Chain(first.session).advance(1, start + 1);
    check_refused<CeremonyRefused>("not of the chain as it is now", [&] { first.ceremony().unfinished(); });
}

BOOST_FIXTURE_TEST_CASE(what_cannot_be_remembered_is_not_done, Scene) {
    retire(third);
    const Frame offer = second.ceremony().offer();
    Ceremony homeless(first.session, first.party.self, first.lists, first.state + "/nowhere");
    BOOST_CHECK_THROW(homeless.make(start, {offer}), std::system_error);
    first.check_left_nothing(0);
    BOOST_TEST(first.ceremony().make(start, {offer}).size() == 1U);
}

BOOST_FIXTURE_TEST_CASE(who_is_not_in_the_list_takes_no_part, Scene) {
    retire(second);
    check_refused<CeremonyRefused>("is not active in the fleet's list", [&] { second.ceremony().offer(); });
    check_refused<CeremonyRefused>("is not active", [&] { second.ceremony().make(start, {}); });
    check_refused<CeremonyRefused>("is not active", [&] { second.ceremony().take({}); });
    second.check_left_nothing(0);
}
