// lighttpd with mod_openssl.
#define BOOST_TEST_MODULE tls_lighttpd
#include "tests/fixtures/other_servers.hpp"
#include "tests/tls/common_cases.hpp"

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

namespace stek::test {
namespace {

BOOST_TEST_GLOBAL_FIXTURE(Scene);

std::unique_ptr<Server> lighttpd(const ServerSetup& setup) {
    return std::make_unique<Lighttpd>(setup);
}

// It sets its own callback after ours. It gives each connection its certificate after tickets are opened:
// only a text that stands for all else opens a ticket at first sight.
const CommonCases cases({.name = "lighttpd",
                         .make = lighttpd,
                         .workers = 1,
                         .settings = {{"attach", "force"}, {"audience", "only:first"}},
                         .other_certificate_settings = {{"audience", "only:second"}},
                         .bound_to_names = false});

/// Without a text, a process that has had one full handshake by a name knows its certificate.
struct Learned {
    Learned() { server.start(); }
    [[nodiscard]] ClientTerms terms(int version) const {
        ClientTerms terms;
        terms.port = server.port();
        terms.version = version;
        return terms;
    }
    Lighttpd server{scene().setup("lighttpd", {{"attach", "force"}})};
};

BOOST_DATA_TEST_CASE(without_a_text_the_certificate_binds, versions, version) {
    Learned one, same;
    auto setup = scene().setup("lighttpd", {{"attach", "force"}});
    setup.identity = scene().another;
    Lighttpd other(setup);
    other.start();
    Connection last = connect(one.terms(version));
    for (int i = 0; i < 10; ++i) {
        last = resume(one.terms(version), last);
        BOOST_TEST(last.reused);
    }
    check_declined(same.terms(version), last, "a process that knows nothing yet");
    BOOST_TEST(resume(same.terms(version), last).reused);
    auto to_other = one.terms(version);
    to_other.port = other.port();
    auto other_name = one.terms(version);
    other_name.server_name = "other.stek.test";
    check_declined(other_name, last, "another server name");
    check_declined(to_other, last, "another certificate, at first sight");
    check_declined(to_other, last, "another certificate");
    BOOST_TEST(resume(one.terms(version), last).reused);
}

BOOST_DATA_TEST_CASE(listeners_with_and_without_client_certificates, versions, version) {
    Learned one;
    check_listeners_apart(one.server.port(), one.server.strict_port(), version);
}

}  // namespace
}  // namespace stek::test
