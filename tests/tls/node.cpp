// Debian's Node with --openssl-shared-config.
#define BOOST_TEST_MODULE tls_node
#include "tests/fixtures/other_servers.hpp"
#include "tests/tls/common_cases.hpp"

#include <boost/test/unit_test.hpp>

namespace stek::test {
namespace {

BOOST_TEST_GLOBAL_FIXTURE(Scene);

const CommonCases cases({.name = "node", .make = [](const ServerSetup& setup) {
                             return std::make_unique<NodeServer>(setup);
                         }});

}  // namespace
}  // namespace stek::test
