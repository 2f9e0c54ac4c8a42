// Where names lead: remembered for each listener, and for as many names as there are.
#define BOOST_TEST_MODULE routes
#include "provider/routes.hpp"

#include "provider/file.hpp"
#include "tests/fixtures/memory_tls.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <random>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <sys/socket.h>

using namespace stek;

namespace {

/// Facts that differ.
struct Fixture {
    const ContextFacts* facts(int verify_mode) {
        const std::unique_ptr<SSL, tests::SslFree> ssl(SSL_new(ctx.get()));
        SSL_set_verify(ssl.get(), verify_mode, nullptr);
        return facts_of(*LibSsl::load(), ssl.get());
    }
    tests::Identity identity{"a.example"};
    tests::Ctx ctx = tests::server_ctx(identity);
    const ContextFacts* open = facts(SSL_VERIFY_NONE);
    const ContextFacts* strict = facts(SSL_VERIFY_PEER);
};

Fd bound_to(const char* address) {
    Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in where{};
    where.sin_family = AF_INET;
    BOOST_REQUIRE(::inet_pton(AF_INET, address, &where.sin_addr) == 1);
    BOOST_REQUIRE(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0);
    return socket;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_route_is_learned_changed_and_nothing_before, Fixture) {
    BOOST_REQUIRE((open != nullptr && strict != nullptr && open != strict));
    const RouteKey key = route_key(1, -1, "a.example");
    BOOST_TEST((forecast(key).facts == nullptr));
    learn_route(key, *open, Way::given);
    BOOST_TEST((forecast(key).facts == open));
    BOOST_TEST((forecast(key).way == Way::given));
    learn_route(key, *strict, Way::switched);
    BOOST_TEST((forecast(key).facts == strict));
    BOOST_TEST((forecast(key).way == Way::switched));
    learn_route(0, *open, Way::stayed);
    BOOST_TEST((forecast(0).facts == nullptr));
}

BOOST_FIXTURE_TEST_CASE(a_route_is_doubtful_until_it_is_learned_again, Fixture) {
    const RouteKey key = route_key(2, -1, "a.example"), other = route_key(2, -1, "b.example");
    for (int i = 0; i < 600; ++i) {  // the count of doubts begins anew in between
        learn_route(key, *open, i % 2 == 0 ? Way::given : Way::stayed);
        BOOST_TEST(!forecast(key).doubtful);
        doubt_routes();
        learn_route(other, *strict, Way::switched);
        BOOST_TEST(forecast(key).doubtful);
        BOOST_TEST((forecast(key).facts == open));
        BOOST_TEST((forecast(key).way == (i % 2 == 0 ? Way::given : Way::stayed)));
        BOOST_TEST(doubts_are_fresh());
        BOOST_TEST(!forecast(other).doubtful);
    }
}

// However many contexts a program makes and frees: the count of doubts has few bits.
BOOST_FIXTURE_TEST_CASE(a_route_does_not_become_certain_by_many_doubts, Fixture) {
    const RouteKey key = route_key(4, -1, "a.example");
    for (int start = 0; start < 40; ++start) {
        learn_route(key, *open, Way::switched_after);
        for (int i = 0; i < 600; ++i) {
            doubt_routes();
            if (!forecast(key).doubtful) {
                BOOST_FAIL("certain after " << i + 1 << " doubts");
            }
        }
        BOOST_TEST((forecast(key).facts == open));
        BOOST_TEST((forecast(key).way == Way::switched_after));
        doubt_routes();  // the next begins at another count
    }
}

BOOST_AUTO_TEST_CASE(a_route_is_of_one_context_address_and_name) {
    const Fd one = bound_to("127.0.0.1"), two = bound_to("127.0.0.2");
    const RouteKey key = route_key(1, one.get(), "a.example");
    BOOST_TEST(key != 0U);
    BOOST_TEST(route_key(1, one.get(), "A.Example") == key);
    BOOST_TEST(route_key(2, one.get(), "a.example") != key);
    BOOST_TEST(route_key(1, two.get(), "a.example") != key);
    BOOST_TEST(route_key(1, -1, "a.example") != key);
    BOOST_TEST(route_key(1, one.get(), "b.example") != key);
    BOOST_TEST(route_key(1, one.get(), "") != key);
}

BOOST_FIXTURE_TEST_CASE(tens_of_thousands_of_names_displace_none, Fixture) {
    std::mt19937_64 random(1);  // keys are keyed hashes
    std::vector<RouteKey> keys(50'000);
    for (std::size_t i = 0; i < keys.size(); ++i) {
        keys[i] = random();
        learn_route(keys[i], i % 2 == 0 ? *open : *strict, Way::switched);
    }
    std::size_t lost = 0;
    for (std::size_t i = 0; i < keys.size(); ++i) {
        lost += forecast(keys[i]).facts == (i % 2 == 0 ? open : strict) ? 0 : 1;
    }
    BOOST_TEST(lost == 0U);
}

// Whoever asks for names without end displaces others for a while, but nobody gets what is another's.
BOOST_FIXTURE_TEST_CASE(more_names_than_there_is_room_for_make_no_wrong_forecast, Fixture) {
    std::mt19937_64 random(2);
    std::vector<RouteKey> keys(1'000'000);
    for (std::size_t i = 0; i < keys.size(); ++i) {
        keys[i] = random();
        learn_route(keys[i], i % 2 == 0 ? *open : *strict, Way::switched);
    }
    std::size_t wrong = 0, there = 0;
    for (std::size_t i = 0; i < keys.size(); ++i) {
        const ContextFacts* found = forecast(keys[i]).facts;
        there += found != nullptr ? 1 : 0;
        wrong += found != nullptr && found != (i % 2 == 0 ? open : strict) ? 1 : 0;
    }
    BOOST_TEST(wrong == 0U);
    BOOST_TEST(there > 200'000U);
    learn_route(keys.front(), *open, Way::stayed);
    BOOST_TEST((forecast(keys.front()).facts == open));
}
