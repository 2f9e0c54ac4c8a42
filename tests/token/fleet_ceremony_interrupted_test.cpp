// A ceremony that came to a halt, and how it goes on. (Killed at each system call: tests/kill.)
#define BOOST_TEST_MODULE fleet_ceremony_interrupted
#include "daemon/fleet/durable_file.hpp"
#include "tests/token/ceremony_scene.hpp"

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;

using Scene = CeremonyScene;

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
