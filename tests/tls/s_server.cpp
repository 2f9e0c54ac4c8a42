// openssl s_server.
#define BOOST_TEST_MODULE tls_s_server
#include "tests/fixtures/other_servers.hpp"
#include "tests/tls/common_cases.hpp"

#include <boost/test/unit_test.hpp>

namespace stek::test {
namespace {

BOOST_TEST_GLOBAL_FIXTURE(Scene);

const CommonCases cases({.name = "s_server",
                         .make = [](const ServerSetup& setup) { return std::make_unique<SServer>(setup); }});

}  // namespace
}  // namespace stek::test
