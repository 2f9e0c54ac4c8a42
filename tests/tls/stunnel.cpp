// stunnel, with and without ticket secrets of its own.
#define BOOST_TEST_MODULE tls_stunnel
#include "tests/fixtures/other_servers.hpp"
#include "tests/tls/common_cases.hpp"

#include <boost/test/unit_test.hpp>

namespace stek::test {
namespace {

BOOST_TEST_GLOBAL_FIXTURE(Scene);

const CommonCases plain({.name = "stunnel",
                         .make = [](const ServerSetup& setup) { return std::make_unique<Stunnel>(setup); }});
const CommonCases own_secrets({.name = "stunnel_ticket_secrets", .make = [](const ServerSetup& setup) {
                                   return std::make_unique<Stunnel>(setup, true);
                               }});

}  // namespace
}  // namespace stek::test
