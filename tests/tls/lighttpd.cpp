// lighttpd with mod_openssl.
#define BOOST_TEST_MODULE tls_lighttpd
#include "tests/fixtures/other_servers.hpp"
#include "tests/tls/common_cases.hpp"

#include <boost/test/unit_test.hpp>

namespace stek::test {
namespace {

BOOST_TEST_GLOBAL_FIXTURE(Scene);

// It sets its own callback after ours. It gives each connection its certificate after tickets are opened, so
// its SSL_CTX has none, and the provider makes no tickets unless told for whom they are.
const CommonCases cases({.name = "lighttpd",
                         .make = [](const ServerSetup& setup) { return std::make_unique<Lighttpd>(setup); },
                         .workers = 1,
                         .settings = {{"attach", "force"}, {"audience", "first"}},
                         .other_certificate_settings = {{"audience", "second"}}});

BOOST_AUTO_TEST_CASE(no_ticket_without_an_audience) {
    Lighttpd server(scene().setup("lighttpd", {{"attach", "force"}}));
    server.start();
    ClientTerms terms;
    terms.port = server.port();
    BOOST_TEST(connect(terms).ticket.empty());
}

}  // namespace
}  // namespace stek::test
