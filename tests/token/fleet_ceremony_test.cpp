// The ceremony with real tokens: each vault has its own.
#define BOOST_TEST_MODULE fleet_ceremony
#include "daemon/fleet/ceremony_pair.hpp"
#include "tests/token/ceremony_scene.hpp"
#include "tests/token/known_keys.hpp"

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;

using Scene = CeremonyScene;

namespace {

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
    check("two of vault vault-2", {of_second, of_third, of_second});
    // Signed by an active vault of the location, but in another's name, or with another location.
    CeremonyOffer lie{third.party.entry.number, scene_location, {1}, OaepHash::sha1, RsaPair().spki()};
    check("of another fleet",
          {of_second,
           make_frame({Kind::ceremony_offer, FleetId{9}, lie.vault}, encode_offer(lie),
                      [&](Bytes bytes) { return sign_with(third.party.self.signing.key.get(), bytes); })});
    const auto by_second = [&](const CeremonyOffer& offer) {
        return second.party.self.sign(Kind::ceremony_offer, second.party.entry.number, encode_offer(offer));
    };
    check("of vault vault-3 of location fra1, but signed by vault vault-2", {of_second, by_second(lie)});
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
    check("by vault vault-1 for vault vault-3; this one is vault vault-2", other, frame_error);
    CeremonyShare share = read(mine);
    share.nonce = decode_offer(Bytes(old_offer).subspan(frame_head_size, 508)).nonce;
    check("is for an offer of this vault that is void", share_by(first.party, share), refused);
    share = read(mine);
    share.location = "ams1";
    check("for location ams1", share_by(first.party, share), frame_error);
    share = read(mine);
    check("by vault vault-2 for vault vault-2", share_by(second.party, share), frame_error);
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

BOOST_FIXTURE_TEST_CASE(who_is_not_in_the_list_takes_no_part, Scene) {
    retire(second);
    check_refused<CeremonyRefused>("is not active in the fleet's list", [&] { second.ceremony().offer(); });
    check_refused<CeremonyRefused>("is not active", [&] { second.ceremony().make(start, {}); });
    check_refused<CeremonyRefused>("is not active", [&] { second.ceremony().take({}); });
    second.check_left_nothing(0);
}
