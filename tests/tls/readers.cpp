// The servers' users: they read the ring by ACL, whatever their groups, and can write nothing.
#define BOOST_TEST_MODULE tls_readers
#include "tests/tls/scene.hpp"

#include <array>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

namespace stek::test {
namespace {

BOOST_TEST_GLOBAL_FIXTURE(Scene);

const std::array<std::string, 2> readers{"www-data", "haproxy"};

/// Without supplementary groups, as HAProxy runs its workers.
Outcome run_as(const std::string& user, const Arguments& argv) {
    Arguments all{"setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--inh-caps=-all"};
    all.insert(all.end(), argv.begin(), argv.end());
    return run(all);
}

BOOST_DATA_TEST_CASE(reads_the_ring, readers, user) {
    BOOST_TEST(run_as(user, {"cat", scene().instance.ring_file()}).exit_code == 0);
}

BOOST_AUTO_TEST_CASE(another_user_does_not) {
    BOOST_TEST(run_as("nobody", {"cat", scene().instance.ring_file()}).exit_code != 0);
}

BOOST_DATA_TEST_CASE(cannot_write_the_ring, readers, user) {
    const std::string ring = scene().instance.ring_file();
    const std::string before = std::to_string(scene().instance.ring()->records.size());
    for (const std::string& attempt :
         {": >> " + ring, "mv " + ring + " " + ring + ".away", "rm -f " + ring, ": > " + ring + ".new"}) {
        const Outcome outcome = run_as(user, {"sh", "-c", attempt});
        BOOST_TEST(outcome.exit_code != 0, attempt << " went through: " << outcome.output);
    }
}

}  // namespace
}  // namespace stek::test
