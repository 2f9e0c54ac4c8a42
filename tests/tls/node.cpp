// Debian's Node with --openssl-shared-config.
#define BOOST_TEST_MODULE tls_node
#include "tests/fixtures/other_servers.hpp"
#include "tests/tls/common_cases.hpp"

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

namespace stek::test {
namespace {

BOOST_TEST_GLOBAL_FIXTURE(Scene);

const CommonCases cases({.name = "node", .make = [](const ServerSetup& setup) {
                             return std::make_unique<NodeServer>(setup);
                         }});

// Node asks for client certificates in each SSL, not in the SSL_CTX.
BOOST_DATA_TEST_CASE(listeners_with_and_without_client_certificates, versions, version) {
    NodeServer node(scene().setup("node"));
    node.start();
    check_listeners_apart(node.port(), node.strict_port(), version);
}

}  // namespace
}  // namespace stek::test
