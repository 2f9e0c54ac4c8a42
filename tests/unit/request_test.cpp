// Requests over the control socket: what is understood, and all that is not.
#define BOOST_TEST_MODULE request
#include "daemon/request.hpp"

#include "daemon/control_client.hpp"
#include "daemon/health.hpp"
#include "provider/file.hpp"

#include <cstdlib>
#include <random>
#include <thread>
#include <unistd.h>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <sys/un.h>

namespace data = boost::unit_test::data;
using namespace stek::daemon;

BOOST_AUTO_TEST_CASE(what_can_be_asked) {
    BOOST_TEST(std::holds_alternative<AskStatus>(parse_request(R"({"do": "status"})")));
    BOOST_TEST(!std::get<Rotate>(parse_request(R"({"do":"rotate"})")).revoke_old);
    BOOST_TEST(!std::get<Rotate>(parse_request(R"({"do":"rotate","revoke_old":false})")).revoke_old);
    BOOST_TEST(std::get<Rotate>(parse_request(R"( {"revoke_old":true,"do":"rotate"} )")).revoke_old);
    BOOST_TEST(std::get<Revoke>(parse_request(R"({"do":"revoke","keys":"all"})")).all);
}

BOOST_AUTO_TEST_CASE(machines_to_enrol_and_to_retire) {
    BOOST_TEST(std::get<EnrolMachine>(parse_request(R"({"do":"enroll","request":"a\nb"})")).request ==
               "a\nb");
    BOOST_TEST(std::get<RetireMachine>(parse_request(R"({"do":"retire","name":"web1"})")).name == "web1");
}

BOOST_AUTO_TEST_CASE(keys_to_revoke) {
    const auto revoke = std::get<Revoke>(parse_request(
        R"({"do":"revoke","keys":[{"epoch":5},{"epoch":18446744073709551615,"revision":4294967295}]})"));
    BOOST_TEST(!revoke.all);
    BOOST_REQUIRE(revoke.keys.size() == 2U);
    BOOST_TEST(revoke.keys[0].names({5, 0}));
    BOOST_TEST(revoke.keys[0].names({5, 9}));
    BOOST_TEST(!revoke.keys[0].names({6, 0}));
    BOOST_TEST(revoke.keys[1].names({18446744073709551615U, 4294967295U}));
    BOOST_TEST(!revoke.keys[1].names({18446744073709551615U, 0}));
}

const char* const refused[] = {
    "",
    " ",
    "rotate",
    "null",
    "[]",
    "\"rotate\"",
    "{}",
    R"({"do":)",
    R"({"do":"rotate"})"
    "x",
    R"({"do":"rotate"}{"do":"rotate"})",
    R"({"do":"Rotate"})",
    R"({"do":7})",
    R"({"do":null})",
    R"({"do":["rotate"]})",
    R"({"do":"enroll"})",
    R"({"do":"enroll","request":7})",
    R"({"do":"enroll","name":"web1"})",
    R"({"do":"retire","name":["web1"]})",
    R"({"do":"retire","name":"web1","request":"x"})",
    R"({"do":"status","do":"rotate"})",
    R"({"do":"status","verbose":true})",
    R"({"do":"rotate","revoke_old":1})",
    R"({"do":"rotate","revoke_old":"true"})",
    R"({"do":"rotate","revoke_old":null})",
    R"({"do":"rotate","revoke_old":false,"revoke_old":true})",
    R"({"do":"rotate","keys":"all"})",
    R"({"do":"rotate",})",
    R"({"do":"rotate"} // now)",
    R"({"do":"revoke"})",
    R"({"do":"revoke","keys":[]})",
    R"({"do":"revoke","keys":"some"})",
    R"({"do":"revoke","keys":{"epoch":5}})",
    R"({"do":"revoke","keys":[5]})",
    R"({"do":"revoke","keys":["all"]})",
    R"({"do":"revoke","keys":[{}]})",
    R"({"do":"revoke","keys":[{"revision":1}]})",
    R"({"do":"revoke","keys":[{"epoch":-1}]})",
    R"({"do":"revoke","keys":[{"epoch":5.0}]})",
    R"({"do":"revoke","keys":[{"epoch":"5"}]})",
    R"({"do":"revoke","keys":[{"epoch":18446744073709551616}]})",
    R"({"do":"revoke","keys":[{"epoch":5,"revision":4294967296}]})",
    R"({"do":"revoke","keys":[{"epoch":5,"revision":-1}]})",
    R"({"do":"revoke","keys":[{"epoch":5,"revision":null}]})",
    R"({"do":"revoke","keys":[{"epoch":5,"epoch":6}]})",
    R"({"do":"revoke","keys":[{"epoch":5,"name":"x"}]})",
    R"({"do":"revoke","keys":[[[[[[[]]]]]]]})",
    "{\"do\":\"rotate\xff\"}",
    "\xef\xbb\xbf\xef\xbb\xbf{\"do\":\"rotate\"}",
};

BOOST_DATA_TEST_CASE(what_is_refused, data::make(refused), text) {
    BOOST_CHECK_THROW(parse_request(text), RequestError);
}

BOOST_AUTO_TEST_CASE(a_zero_byte_behind_it_is_noise) {
    using namespace std::string_literals;
    BOOST_CHECK_THROW(parse_request("{\"do\":\"status\"}\0"s), RequestError);
}

BOOST_AUTO_TEST_CASE(nesting_is_bounded) {
    BOOST_CHECK_THROW(parse_request(std::string(4096, '[')), RequestError);
    BOOST_CHECK_THROW(parse_request(std::string(2048, '[') + std::string(2048, ']')), RequestError);
}

// Cut short anywhere it is refused; changed in any byte it is understood or refused, and nothing else
// happens.
BOOST_AUTO_TEST_CASE(every_cut_and_every_byte_changed) {
    const std::string whole = R"({"do":"revoke","keys":[{"epoch":489122,"revision":1},{"epoch":7}]})";
    for (std::size_t length = 0; length < whole.size(); ++length)
        BOOST_CHECK_THROW(parse_request(whole.substr(0, length)), RequestError);
    unsigned understood = 0;
    for (std::size_t at = 0; at < whole.size(); ++at)
        for (int byte = 0; byte < 256; ++byte) {
            auto text = whole;
            text[at] = static_cast<char>(byte);
            try {
                parse_request(text);
                ++understood;
            } catch (const RequestError&) {
            }
        }
    // Digits for digits, and a blank or two; so no more than a few of each byte's 256 values.
    BOOST_TEST(understood >= whole.size());
    BOOST_TEST(understood <= whole.size() * 4);
}

BOOST_DATA_TEST_CASE(noise_is_refused, data::xrange(200), seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    std::string text(random() % 4096, '\0');
    for (auto& c : text)
        c = static_cast<char>(random());
    BOOST_CHECK_THROW(parse_request(text), RequestError);
}

BOOST_AUTO_TEST_CASE(health_there_and_back) {
    Health health{.started_at = 5,
                  .ready = true,
                  .trouble = "no token",
                  .rotations = 7,
                  .failures = 1,
                  .last_rotation = 9,
                  .next_edge = 3600,
                  .chain = stek::ChainPosition{3, 4},
                  .chain_lag = 2,
                  .tokens_open = true};
    const auto json = health_to_json(health);
    const auto back = health_from_json(json);
    BOOST_TEST((back.chain == health.chain));
    BOOST_TEST(health_to_json(back) == json);
    health.chain.reset();
    BOOST_TEST(!health_from_json(health_to_json(health)).chain);
    BOOST_CHECK_THROW(health_from_json(nlohmann::json::object()), nlohmann::json::exception);
}

// Found by tests/fuzz/fuzz_control.cpp: "busy" of another type was an error of the JSON library's.
BOOST_AUTO_TEST_CASE(a_strange_refusal_is_a_refusal) {
    std::string directory = "/tmp/stek-control-XXXXXX";
    BOOST_REQUIRE(::mkdtemp(directory.data()) != nullptr);
    const std::string path = directory + "/control";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    const stek::Fd listening(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    BOOST_REQUIRE(::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    BOOST_REQUIRE(::listen(listening.get(), 1) == 0);
    for (const std::string reply :
         {R"({"ok":false,"busy":"yes"})", R"({"ok":false,"busy":null})", R"({"ok":false,"error":7})"}) {
        const std::jthread peer([&] {
            const stek::Fd connection(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
            static_cast<void>(::send(connection.get(), reply.data(), reply.size(), MSG_NOSIGNAL));
        });
        BOOST_CHECK_THROW(ask_stekd(path, {{"do", "status"}}), ControlError);
    }
    ::unlink(path.c_str());
    ::rmdir(directory.c_str());
}
