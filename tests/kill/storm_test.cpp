// kill -9, starving, and tokens that fail, while clients connect without a pause: no handshake fails, the
// ring is whole all the time, the vault is intact in the end, and the table says how long resumption was
// lost.
#define BOOST_TEST_MODULE storm
#include "tests/kill/storm.hpp"

#include "tests/kill/vault_view.hpp"

#include <cstdlib>
#include <iostream>
#include <thread>

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::test;
using namespace std::chrono_literals;

namespace {

BOOST_TEST_GLOBAL_FIXTURE(Storm);

/// How often, or how much of a thing: at full length, and in every day's run.
unsigned times(unsigned at_full_length, unsigned daily) {
    return std::getenv("STEK_TEST_LONG") != nullptr ? at_full_length : daily;
}

void rest(std::chrono::milliseconds time) {
    std::this_thread::sleep_for(time);
}

}  // namespace

BOOST_AUTO_TEST_CASE(nothing) {
    storm().event("nothing", [] { rest(3s); });
}

// The rotation begins with the second and takes some 15 ms.
BOOST_AUTO_TEST_CASE(stekd_is_killed_in_rotations) {
    for (unsigned i = 0; i < times(20, 2); ++i) {
        const auto after_the_edge = std::chrono::milliseconds(i % 20);
        storm().event("stekd: kill -9 in a rotation, started again", [&] {
            const auto now = std::chrono::system_clock::now();
            std::this_thread::sleep_until(std::chrono::ceil<std::chrono::seconds>(now) + after_the_edge);
            storm().kill_stekd();
            storm().start_stekd();
        });
    }
}

BOOST_AUTO_TEST_CASE(workers_are_killed_in_the_middle_of_tickets) {
    for (unsigned i = 0; i < times(20, 2); ++i) {
        storm().event("a worker: kill -9 in C_Encrypt", [] {
            storm().token.sleep("C_Encrypt", 50ms);
            rest(100ms);
            storm().kill_workers({storm().nginx->workers().at(0)});
            storm().token.clear();
        });
    }
}

BOOST_AUTO_TEST_CASE(masters_are_killed) {
    for (unsigned i = 0; i < times(5, 1); ++i)
        storm().event("nginx: kill -9 of the master, 2 s later of its workers",
                      [] { storm().kill_master(); });
}

BOOST_AUTO_TEST_CASE(the_end) {
    storm().load.reset();
    storm().stekd.daemon->stop();
    std::cout << storm().table.text();
}
