// Clients that are not OpenSSL's library called by us: gnutls-cli, curl, openssl s_client.
#define BOOST_TEST_MODULE tls_clients
#include "tests/fixtures/nginx.hpp"
#include "tests/tls/scene.hpp"

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

namespace stek::test {
namespace {

BOOST_TEST_GLOBAL_FIXTURE(Scene);

const std::string name = "www.stek.test";

struct Running {
    Nginx nginx;
    std::string port;
    explicit Running(const NginxOptions& options = {}) : nginx(scene().setup("nginx"), options) {
        nginx.start();
        port = std::to_string(nginx.port());
    }
};

bool holds(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

BOOST_DATA_TEST_CASE(gnutls_cli_resumes, versions, version) {
    const Running server;
    const std::string priority =
        std::string("NORMAL:-VERS-ALL:+VERS-TLS1.") + (version == TLS1_3_VERSION ? "3" : "2");
    const Outcome outcome = run(
        {"gnutls-cli", "--resume", "--waitresumption", "--x509cafile", scene().pki.authority(), "--priority",
         priority, "--sni-hostname", name, "--verify-hostname", name, "--port", server.port, "127.0.0.1"},
        {}, "GET / HTTP/1.0\r\nHost: " + name + "\r\n\r\n");
    BOOST_TEST(outcome.exit_code == 0, outcome.output);
    BOOST_TEST(holds(outcome.output, "*** This is a resumed session"), outcome.output);
    BOOST_TEST(holds(outcome.output, "X-Reused: r"), outcome.output);
}

// curl 7.88 asks for no tickets in TLS 1.2 (SSL_OP_NO_TICKET): there it resumes by nginx's session cache, as
// ever.
BOOST_DATA_TEST_CASE(curl_resumes, versions, version) {
    const Running server({.session_cache = true});
    const std::string url = "https://" + name + ":" + server.port + "/";
    Arguments curl{"curl",
                   "-q",
                   "-sS",
                   "-i",
                   "--http1.1",
                   "-H",
                   "Connection: close",
                   "--cacert",
                   scene().pki.authority(),
                   "--resolve",
                   name + ":" + server.port + ":127.0.0.1"};
    if (version == TLS1_3_VERSION)
        curl.insert(curl.end(), {"--tlsv1.3"});
    else
        curl.insert(curl.end(), {"--tlsv1.2", "--tls-max", "1.2"});
    curl.insert(curl.end(), {url, url});
    const Outcome outcome = run(curl);
    BOOST_TEST(outcome.exit_code == 0, outcome.output);
    BOOST_TEST(holds(outcome.output, "X-Reused: ."), outcome.output);
    BOOST_TEST(holds(outcome.output, "X-Reused: r"), outcome.output);
}

BOOST_DATA_TEST_CASE(openssl_s_client_resumes, versions, version) {
    const Running server;
    const auto session = scene().workspace.subdirectory("s_client") / "session.pem";
    const Arguments common{"openssl",
                           "s_client",
                           "-connect",
                           "127.0.0.1:" + server.port,
                           "-servername",
                           name,
                           "-CAfile",
                           scene().pki.authority(),
                           version == TLS1_3_VERSION ? "-tls1_3" : "-tls1_2",
                           "-ign_eof",
                           "-sess_out",
                           session};
    const std::string request = "GET / HTTP/1.0\r\nHost: " + name + "\r\n\r\n";
    const Outcome first = run(common, {}, request);
    BOOST_TEST(holds(first.output, "\nNew, TLS"), first.output);
    Arguments again = common;
    again.insert(again.end(), {"-sess_in", session});
    const Outcome second = run(again, {}, request);
    BOOST_TEST(holds(second.output, "\nReused, TLS"), second.output);
    BOOST_TEST(holds(second.output, "X-Reused: r"), second.output);
}

}  // namespace
}  // namespace stek::test
