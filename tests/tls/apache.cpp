// Apache with the event MPM, two processes.
#define BOOST_TEST_MODULE tls_apache
#include "tests/fixtures/other_servers.hpp"
#include "tests/tls/common_cases.hpp"

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

namespace stek::test {
namespace {

BOOST_TEST_GLOBAL_FIXTURE(Scene);

const CommonCases cases({.name = "apache",
                         .make = [](const ServerSetup& setup) { return std::make_unique<Apache>(setup); },
                         .workers = 2});

// What is asked of a client after the handshake breaks no connection, and spoils nobody's tickets.
BOOST_DATA_TEST_CASE(client_certificates_for_some_of_its_resources, versions, version) {
    Apache apache(scene().setup("apache"));
    apache.start();
    ClientTerms open, strict;
    open.port = strict.port = apache.port();
    open.version = strict.version = version;
    strict.identity = &scene().client_identity;
    strict.path = "/private";
    Connection anybody = connect(open);
    const Connection somebody = connect(strict);
    BOOST_TEST(somebody.answer.find(" 200 ") != std::string::npos, somebody.answer);
    for (int i = 0; i < 10; ++i) {
        anybody = resume(open, anybody);
        BOOST_TEST(anybody.reused);
        // A renegotiation ends with a session that has no ticket.
        const Connection again = version == TLS1_3_VERSION ? resume(strict, somebody) : connect(strict);
        BOOST_TEST(again.reused == (version == TLS1_3_VERSION));
        BOOST_TEST(again.answer.find(" 200 ") != std::string::npos, again.answer);
    }
    // Without a certificate there is nothing to be had there, on whose ticket ever.
    for (const auto& session : {anybody.session, somebody.session}) {
        ClientTerms thief = strict;
        thief.identity = nullptr;
        thief.session = session;
        BOOST_TEST(scene().client.connect(thief).answer.find(" 200 ") == std::string::npos);
    }
}

}  // namespace
}  // namespace stek::test
