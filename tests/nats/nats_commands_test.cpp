// stekctl fleet init --nats, enroll, certify and withdraw, as programs on a real token and a real server; and
// what they refuse.
#define BOOST_TEST_MODULE nats_commands
#include "daemon/exit_codes.hpp"
#include "daemon/fleet/certificates.hpp"
#include "tests/fixtures/fleet_programs.hpp"

#include <filesystem>

#include <sys/stat.h>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;
using namespace stek::daemon;

namespace {

namespace fs = std::filesystem;

struct Scene : FleetPrograms {
    Scene() : FleetPrograms(3600, 7200, "engine", {NatsHost{}}) {
        add_root();
        init();
        add_origin("o1");
    }
    [[nodiscard]] std::string grants() const {
        return test::read_file(tls("root") + "/servers/n1/grants.conf");
    }
    /// Asks for it; the fingerprint of the request for a certificate.
    std::string ask() {
        const auto output = done({"enroll", "origin"}, "o1");
        return fingerprint_in(output.substr(output.find("fingerprint of that")), "of that:  ");
    }
};

unsigned mode_of(const std::string& path) {
    struct stat status {};
    BOOST_REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777U;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(init_makes_it_once, Scene) {
    const auto authority = test::read_file(tls("root") + "/authority.crt");
    const auto route = test::read_file(tls("root") + "/servers/n1/route.crt");
    check_outcome(fleet({"init"}, "root"), exit_ok, "there already");
    const auto& server = nats->servers().front();
    check_outcome(fleet({"init"}, "root", {"--nats", server.name + "=" + server.host}), exit_ok,
                  "there already");
    BOOST_TEST(test::read_file(tls("root") + "/authority.crt") == authority);
    BOOST_TEST(test::read_file(tls("root") + "/servers/n1/route.crt") == route);
    // Servers are made together: another one later would not be known to the others.
    check_outcome(fleet({"init"}, "root", {"--nats", "n1=127.0.0.1", "n2=127.0.0.1"}), exit_software,
                  "are made together");
    for (const auto& key : {tls("root") + "/root.key", tls("root") + "/servers/n1/server.key",
                            tls("root") + "/servers/n1/route.key"})
        BOOST_TEST(mode_of(key) == 0600U);
    // The key that signs certificates is in the token, and nowhere else; the routes' is nowhere.
    for (const auto& file : fs::recursive_directory_iterator(tls("root")))
        if (file.is_regular_file() && file.path().extension() == ".key")
            BOOST_TEST(
                EVP_PKEY_eq(read_private_key(file.path()).get(),
                            X509_get0_pubkey(read_certificate(tls("root") + "/authority.crt").get())) != 1);
}

BOOST_FIXTURE_TEST_CASE(servers_that_are_none_are_refused, Scene) {
    for (const auto* server : {"n1", "=host", "n1=", "n1=host:0", "n1=host:65536", "n1=host:x",
                               "n1=host:1:", "n1=host:1:99999999", "n.1=host", "n1=ho st", "n1=\"host"})
        check_outcome(fleet({"init"}, "root", {"--nats", server}), exit_config, "must be NAME=HOST");
}

BOOST_FIXTURE_TEST_CASE(another_authority_is_not_overwritten, Scene) {
    const auto key = make_private_key();
    test::write_file(tls("root") + "/authority.crt", to_pem(make_authority("another", key.get(), 1).get()));
    check_outcome(fleet({"init"}, "root"), exit_exists, "is not of the key in token");
    ask();
    check_outcome(fleet({"certify"}, "root", {tls("o1") + "/origin.csr", "--fingerprint", ask()}),
                  exit_exists, "is not of the key in token");
}

BOOST_FIXTURE_TEST_CASE(who_asks_is_let_in_until_it_is_withdrawn, Scene) {
    const auto request = tls("o1") + "/origin.csr";
    const auto fingerprint = ask();
    BOOST_TEST(fingerprint.size() == 39U);
    BOOST_TEST(ask() == fingerprint);
    BOOST_TEST(mode_of(tls("o1") + "/origin.key") == 0600U);
    BOOST_TEST(grants().find("CN=o1,O=origin") == std::string::npos);
    const auto outcome = fleet({"certify"}, "root", {request, "--fingerprint", fingerprint});
    check_outcome(outcome, exit_ok, "BEGIN CERTIFICATE");
    check_outcome(outcome, exit_ok, "origin o1");
    BOOST_TEST(grants().find("CN=o1,O=origin") != std::string::npos);
    certify("origin", "o1");
    check_outcome(fleet({"status"}, "o1"), exit_findings, "no origin is enrolled");
    // It sees what it may, and says nothing of the rest.
    add_vault("v1", "fra1");
    enroll_and_approve("location", "v1", "root");
    const auto seen = fleet({"status"}, "o1");
    BOOST_TEST(seen.output.find("cannot be reached") == std::string::npos, seen.output);
    BOOST_TEST(seen.output.find("fra1") == std::string::npos, seen.output);
    check_outcome(fleet({"status"}, "root"), exit_findings, "location fra1 has no machine enrolled");
    check_outcome(fleet({"withdraw", "origin", "o1"}, "root"), exit_ok, "is let in no more");
    BOOST_TEST(grants().find("CN=o1,O=origin") == std::string::npos);
    check_outcome(fleet({"withdraw", "origin", "o1"}, "root"), exit_ok, "is not let in");
    send_grants();
    BOOST_TEST(test::eventually(
        [&] { return fleet({"status"}, "o1").output.find("cannot be reached") != std::string::npos; }));
}

BOOST_FIXTURE_TEST_CASE(what_is_no_request_of_a_party_s_is_refused, Scene) {
    const auto fingerprint = ask();
    const auto certify_file = [&](const std::string& file, const std::string& known) {
        return fleet({"certify"}, "root", {file, "--fingerprint", known});
    };
    check_outcome(certify_file(tls("o1") + "/origin.csr", "0000-0000-0000-0000-0000-0000-0000-0000"),
                  exit_declined, "another fingerprint");
    check_outcome(fleet({"certify"}, "root", {tls("o1") + "/origin.csr"}), exit_declined,
                  "no terminal to ask at");
    const auto noise = in("noise.csr");
    for (const auto& text :
         {std::string(), std::string(100000, 'x'),
          std::string("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n")}) {
        test::write_file(noise, text);
        check_outcome(certify_file(noise, fingerprint), exit_software, "certificate request");
    }
    // Changed on its way: another key in it.
    const auto key = make_private_key(), other = make_private_key();
    const auto file = in("made.csr");
    const auto try_party = [&](const NatsParty& party, int exit_code, const std::string& says) {
        const auto request = make_certificate_request(party, key.get());
        test::write_file(file, to_pem(request.get()));
        check_outcome(certify_file(file, fleet::fingerprint(request.get())), exit_code, says);
    };
    try_party({NatsRole::root, "root", ""}, exit_declined, "made by init");
    try_party({NatsRole::origin, "o 1", ""}, exit_software, "no party of a fleet");
    try_party({NatsRole::origin, "o1", "fra1"}, exit_software, "no party of a fleet");
    try_party({NatsRole::machine, "m1", ""}, exit_software, "no party of a fleet");
    try_party({NatsRole::machine, "m1", "a/b"}, exit_software, "no party of a fleet");
    const auto forged = make_certificate_request({NatsRole::origin, "o1", ""}, key.get());
    X509_REQ_set_pubkey(forged.get(), other.get());
    test::write_file(file, to_pem(forged.get()));
    check_outcome(certify_file(file, fleet::fingerprint(forged.get())), exit_software, "signature");
    BOOST_TEST(grants().find("CN=o1,O=origin") == std::string::npos);
    // Where there is nobody who signs.
    check_outcome(fleet({"certify"}, "o1", {tls("o1") + "/origin.csr", "--fingerprint", fingerprint}),
                  exit_config, "there must be a section [root]");
}
