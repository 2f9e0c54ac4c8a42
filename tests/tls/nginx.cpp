// nginx: workers, with and without a shared session cache, with a ticket callback of its own, reload, binary
// upgrade.
#define BOOST_TEST_MODULE tls_nginx
#include "tests/fixtures/nginx.hpp"

#include "tests/tls/common_cases.hpp"

#include <set>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

namespace stek::test {
namespace {

BOOST_TEST_GLOBAL_FIXTURE(Scene);

Kind kind(const std::string& name, const NginxOptions& options) {
    return {.name = name,
            .make = [options](const ServerSetup& setup) { return std::make_unique<Nginx>(setup, options); },
            .workers = 2};
}

const CommonCases plain(kind("nginx", {}));
const CommonCases cached(kind("nginx_shared_cache", {.session_cache = true}));
const CommonCases old_callback(kind("nginx_ticket_key_file", {.ticket_key_file = true}));

ClientTerms terms(const Nginx& nginx, int version) {
    ClientTerms result;
    result.port = nginx.port();
    result.version = version;
    return result;
}

BOOST_DATA_TEST_CASE(resumed_after_a_reload, versions, version) {
    Nginx nginx(scene().setup("nginx"));
    nginx.start();
    const Connection before = connect(terms(nginx, version));
    nginx.reload();
    const Connection after = resume(terms(nginx, version), before);
    BOOST_TEST(after.reused);
    BOOST_TEST(nginx.worker(after) != nginx.worker(before));
}

BOOST_DATA_TEST_CASE(resumed_after_a_binary_upgrade, versions, version) {
    Nginx nginx(scene().setup("nginx"));
    nginx.start();
    const Connection before = connect(terms(nginx, version));
    const pid_t old_master = nginx.master();
    nginx.upgrade();
    BOOST_TEST(nginx.master() != old_master);
    const Connection after = resume(terms(nginx, version), before);
    BOOST_TEST(after.reused);
    // The new binary has its own provider, by the `env` line: its tickets are ours too.
    const Connection fresh = connect(terms(nginx, version));
    BOOST_TEST(record_of(*scene().instance.ring(), fresh.ticket) != nullptr);
}

BOOST_DATA_TEST_CASE(listeners_with_and_without_client_certificates, versions, version) {
    Nginx nginx(scene().setup("nginx"), {.strict_listener = true});
    nginx.start();
    check_listeners_apart(nginx.port(), nginx.strict_port(), version);
}

// nginx goes to a virtual server by the name after libssl has opened the ticket (CVE-2025-23419): what that
// one demands of clients holds all the same.
BOOST_DATA_TEST_CASE(virtual_servers_with_other_client_authorities, versions, version) {
    Pki second(scene().workspace.subdirectory("second-pki"));
    Nginx nginx(scene().setup("nginx"), {.strict_listener = true, .second_authority = second.authority()});
    nginx.start();
    ClientTerms first = terms(nginx, version), other = first;
    first.server_name = other.server_name = "other.stek.test";
    first.identity = &scene().client_identity;
    other.port = nginx.strict_port();
    const Connection known = connect(first);
    BOOST_REQUIRE(known.answer.find(" 200 ") != std::string::npos);
    BOOST_REQUIRE(!known.ticket.empty());
    // On each worker, before and after it has seen the name there.
    for (int i = 0; i < 8; ++i) {
        other.session = known.session;
        const Connection intruder = scene().client.connect(other);
        BOOST_TEST(!intruder.reused);
        BOOST_TEST(intruder.answer.find(" 200 ") == std::string::npos);
    }
    // Where it belongs it resumes, once a worker has learnt where the name goes.
    std::set<std::string> workers;
    Connection last = known;
    for (int i = 0; i < 20; ++i) {
        const Connection next = resume(first, last);
        BOOST_TEST(next.answer.find(" 200 ") != std::string::npos);
        const std::string worker = nginx.worker(next);
        BOOST_TEST((next.reused || workers.count(worker) == 0));
        workers.insert(worker);
        last = next;
    }
    BOOST_TEST(last.reused);
}

// libssl chooses one of them for each client anew: before it knows which, it opens the ticket.
BOOST_DATA_TEST_CASE(two_certificates_in_one_server, versions, version) {
    const Identity rsa = scene().pki.rsa_server("rsa", {"www.stek.test"});
    Nginx nginx(scene().setup("nginx"), {.second_identity = rsa});
    nginx.start();
    for (const char* algorithms : {"ECDSA+SHA256", "RSA-PSS+SHA256:RSA+SHA256", ""}) {
        ClientTerms chosen = terms(nginx, version);
        chosen.signature_algorithms = algorithms;
        Connection last = connect(chosen);
        for (int i = 0; i < 10; ++i) {
            last = resume(chosen, last);
            BOOST_TEST(last.reused, algorithms);
        }
    }
}

}  // namespace
}  // namespace stek::test
