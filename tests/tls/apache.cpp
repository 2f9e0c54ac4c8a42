// Apache with the event MPM, two processes.
#define BOOST_TEST_MODULE tls_apache
#include "tests/fixtures/other_servers.hpp"
#include "tests/tls/common_cases.hpp"

#include <boost/test/unit_test.hpp>

namespace stek::test {
namespace {

BOOST_TEST_GLOBAL_FIXTURE(Scene);

const CommonCases cases({.name = "apache",
                         .make = [](const ServerSetup& setup) { return std::make_unique<Apache>(setup); },
                         .workers = 2});

}  // namespace
}  // namespace stek::test
