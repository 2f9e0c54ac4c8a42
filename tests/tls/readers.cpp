// The servers' users: they read the ring by ACL, whatever their groups, and can write nothing.
#define BOOST_TEST_MODULE tls_readers
#include "tests/tls/scene.hpp"

#include <algorithm>
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
    for (const std::string& attempt : {": >> " + ring, "mv " + ring + " " + ring + ".away", "rm -f " + ring,
                                       ": > " + ring + ".new", "ln -s /dev/null " + ring + ".link"}) {
        const Outcome outcome = run_as(user, {"sh", "-c", attempt});
        BOOST_TEST(outcome.exit_code != 0, attempt << " went through: " << outcome.output);
    }
    BOOST_TEST(!scene().instance.ring()->records.empty());
}

/// Of all the instance's files, only the directory of their own counters, in which nobody removes another's.
BOOST_DATA_TEST_CASE(can_write_counters_only, readers, user) {
    const std::string directory = scene().instance.directory();
    const Outcome found = run_as(user, {"sh", "-c", "find " + directory + " -writable 2>/dev/null"});
    BOOST_TEST(found.output == directory + "/run/stats\n");
}

BOOST_DATA_TEST_CASE(reads_one_token_only, readers, user) {
    const std::string directory = scene().instance.directory();
    const auto readable = [&](const std::string& what) {
        const Outcome found =
            run_as(user, {"sh", "-c", "find " + directory + what + " -readable 2>/dev/null"});
        return std::count(found.output.begin(), found.output.end(), '\n');
    };
    // tokens/ holds two directories, the vault's and the ticket token's
    BOOST_TEST(readable("/tokens -mindepth 1 -maxdepth 1 -type d") == 1);
    BOOST_TEST(readable("/tokens -name token.object") == 1);
    BOOST_TEST(readable("/pins -type f") == 0);
    BOOST_TEST(readable("/state -type f") == 0);
}

}  // namespace
}  // namespace stek::test
