// kill -9, starving, and tokens that fail, while clients connect without a pause: no handshake fails, the
// ring is whole all the time, the vault is intact in the end, and the table says how long resumption was
// lost.
#define BOOST_TEST_MODULE storm
#include "tests/kill/storm.hpp"

#include "tests/fixtures/shared_file.hpp"
#include "tests/kill/limits.hpp"
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

BOOST_AUTO_TEST_CASE(the_token_is_slow) {
    storm().event("token: each C_Encrypt takes 0.2 s, for 3 s", [] {
        storm().token.sleep("C_Encrypt", 200ms);
        rest(3s);
        storm().token.clear();
    });
}

BOOST_AUTO_TEST_CASE(the_token_fails) {
    storm().listen_from_here();
    storm().event("token: each call fails, for 3 s", [] {
        storm().token.fail_all_calls(CKR_DEVICE_ERROR);
        rest(3s);
        storm().token.clear();
    });
    std::cout << storm().heard() << storm().stekd_says() << std::endl;
    storm().expect_stekd_to_be_well();
}

BOOST_AUTO_TEST_CASE(the_tokens_are_gone_and_back) {
    storm().listen_from_here();
    storm().event("tokens: both directories gone, for 3 s", [] {
        const auto away = storm().disk.path() / "away";
        std::filesystem::create_directory(away);
        std::vector<std::filesystem::path> tokens;
        for (const auto& token : std::filesystem::directory_iterator(storm().tokens))
            tokens.push_back(token.path());
        for (const auto& token : tokens)
            std::filesystem::rename(token, away / token.filename());
        rest(3s);
        for (const auto& token : tokens)
            std::filesystem::rename(away / token.filename(), token);
    });
    std::cout << storm().heard() << storm().stekd_says() << std::endl;
    storm().expect_stekd_to_be_well();
}

BOOST_AUTO_TEST_CASE(the_ticket_token_is_lost_for_good) {
    storm().listen_from_here();
    storm().event("tokens: the ticket token lost, made anew by stekd", [] {
        const auto serial = storm().stekd.ring()->token_serial;
        std::filesystem::rename(storm().stekd.token_directory(serial),
                                storm().stekd.directory / "tokens/away");
        BOOST_TEST(eventually([&] { return storm().stekd.ring()->token_serial != serial; }, 60s));
    });
    std::cout << storm().heard() << storm().stekd_says() << std::endl;
    storm().expect_stekd_to_be_well();
}

BOOST_AUTO_TEST_CASE(workers_have_no_memory) {
    for (const unsigned one_in : {1U, 2U, 7U, 50U}) {
        storm().listen_from_here();
        storm().event("workers: one in " + std::to_string(one_in) + " allocations fails, for 3 s", [&] {
            const auto failed = storm().memory->failed.load();
            storm().memory->one_in = one_in;
            rest(3s);
            storm().memory->one_in = 0;
            std::cout << storm().memory->failed.load() - failed << " failed" << std::endl;
        });
        std::cout << storm().heard() << std::endl;
    }
}

BOOST_AUTO_TEST_CASE(workers_have_no_descriptors) {
    storm().listen_from_here();
    storm().event("workers: no descriptor but for one connection, for 3 s", [&] {
        std::vector<Lowered::Limit> limits;
        for (const pid_t worker : storm().nginx->workers())
            limits.push_back({worker, descriptors_in_use(worker) + 1});
        const Lowered lowered(RLIMIT_NOFILE, limits);
        rest(1s);
        storm().token.fail("C_Encrypt", CKR_DEVICE_REMOVED);  // opening the token anew takes some
        rest(500ms);
        storm().token.clear();
        rest(1500ms);
    });
    std::cout << storm().heard() << std::endl;
}

BOOST_AUTO_TEST_CASE(stekd_has_no_descriptors) {
    storm().listen_from_here();
    storm().event("stekd: no descriptor, for 3 s", [&] {
        const pid_t stekd = storm().stekd.daemon->pid();
        const Lowered lowered(RLIMIT_NOFILE, {{stekd, descriptors_in_use(stekd)}});
        storm().keep_stekd_running(3s);
    });
    std::cout << storm().stekd_says() << std::endl;
    storm().expect_stekd_to_be_well();
}

BOOST_AUTO_TEST_CASE(stekd_has_no_memory) {
    storm().listen_from_here();
    storm().event("stekd: not a page of memory more, for 3 s", [&] {
        const pid_t stekd = storm().stekd.daemon->pid();
        const Lowered lowered(RLIMIT_AS, {{stekd, address_space_in_use(stekd)}});
        storm().keep_stekd_running(3s);
    });
    std::cout << storm().stekd_says() << std::endl;
    storm().expect_stekd_to_be_well();
    auto* memory =
        tests::make_shared_file<tests::AllocationControl>(storm().workspace.path() / "stekd.memory");
    memory->whole_program = true;
    storm().kill_stekd();
    storm().start_stekd({{"LD_PRELOAD", STEK_ALLOCATION_LIBRARY},
                         {"STEK_ALLOCATION_FAULT", storm().workspace.path() / "stekd.memory"}});
    for (const unsigned one_in : {1U, 10U, 100U, 1000U}) {
        storm().listen_from_here();
        storm().event("stekd: one in " + std::to_string(one_in) + " allocations fails, for 3 s", [&] {
            memory->one_in = one_in;
            storm().keep_stekd_running(3s);
            memory->one_in = 0;
        });
        std::cout << storm().stekd_says() << std::endl;
        storm().expect_stekd_to_be_well();
    }
    storm().kill_stekd();
    storm().start_stekd();
}

BOOST_AUTO_TEST_CASE(the_disk_is_full) {
    storm().listen_from_here();
    storm().event("stekd: disk full, for 4 s", [] {
        storm().disk.fill();
        storm().keep_stekd_running(4s);
        storm().disk.free();
    });
    std::cout << storm().stekd_says() << std::endl;
    storm().expect_stekd_to_be_well();
    storm().listen_from_here();
    storm().event("stekd: kill -9 and started on a full disk, for 4 s", [] {
        storm().disk.fill();
        storm().kill_stekd();
        storm().keep_stekd_running(4s);
        storm().disk.free();
    });
    std::cout << storm().stekd_says() << std::endl;
    storm().expect_stekd_to_be_well();
}

BOOST_AUTO_TEST_CASE(the_end) {
    storm().load.reset();
    storm().stekd.daemon->stop();
    std::cout << storm().table.text();
    for (const auto& wrong : storm().ring->wrong())
        BOOST_ERROR("the ring: " + wrong);
    std::cout << storm().ring->looks() << " looks at the ring, " << storm().ring->keys() << " keys\n";
}
