// HAProxy: two threads; Debian's own configuration with its chroot and user; a ticket callback of its own.
#define BOOST_TEST_MODULE tls_haproxy
#include "tests/fixtures/haproxy.hpp"

#include "tests/tls/common_cases.hpp"

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

namespace stek::test {
namespace {

BOOST_TEST_GLOBAL_FIXTURE(Scene);

std::unique_ptr<Server> plain_haproxy(const ServerSetup& setup) {
    return std::make_unique<Haproxy>(setup);
}

std::unique_ptr<Server> haproxy_with_keys(const ServerSetup& setup) {
    HaproxyOptions options;
    options.ticket_keys_file = true;
    return std::make_unique<Haproxy>(setup, options);
}

/// Its chroot holds nothing but what the drop-in puts there: the instances' directories, read-only.
std::unique_ptr<Server> debian_haproxy(const ServerSetup& setup) {
    HaproxyOptions options;
    options.debian_configuration = true;
    options.into_chroot = {scene().instance.directory(), scene().hasty().directory()};
    return std::make_unique<Haproxy>(setup, options);
}

const CommonCases plain({.name = "haproxy", .make = plain_haproxy, .workers = 2});
const CommonCases own_keys({.name = "haproxy_ticket_keys",
                            .make = haproxy_with_keys,
                            .workers = 2,
                            .settings = {{"attach", "force"}}});
const CommonCases debian({.name = "haproxy_of_debian", .make = debian_haproxy, .workers = 2});

BOOST_DATA_TEST_CASE(listeners_with_and_without_client_certificates, versions, version) {
    Haproxy haproxy(scene().setup("haproxy"));
    haproxy.start();
    check_listeners_apart(haproxy.port(), haproxy.strict_port(), version);
}

}  // namespace
}  // namespace stek::test
