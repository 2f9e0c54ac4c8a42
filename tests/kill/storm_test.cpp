// kill -9, starving, and tokens that fail, while clients connect without a pause: no handshake fails, the
// ring is whole all the time, the vault is intact in the end, and the table says how long resumption was
// lost.
#define BOOST_TEST_MODULE storm
#include "tests/kill/storm.hpp"

#include "tests/fixtures/full_length.hpp"
#include "tests/fixtures/shared_file.hpp"
#include "tests/kill/limits.hpp"
#include "tests/kill/vault_view.hpp"

#include <iostream>
#include <thread>

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

BOOST_TEST_GLOBAL_FIXTURE(Storm);

void rest(std::chrono::milliseconds time) {
    std::this_thread::sleep_for(time);
}

/// How long a want lasts; stekd has keys for ten seconds in its ring.
std::chrono::milliseconds a_while() {
    return at_full_length() ? 3s : 1s;
}

void expect_stekd_to_have_said(const std::string& text) {
    const auto said = storm().stekd_says();
    BOOST_TEST(said.find(text) != std::string::npos, "not said: " << text << "; but:\n" << said);
}

}  // namespace

BOOST_AUTO_TEST_CASE(nothing) {
    storm().event("nothing", [] { rest(a_while()); });
}

// The rotation begins with the second and takes some 15 ms.
BOOST_AUTO_TEST_CASE(stekd_is_killed_in_rotations) {
    for (unsigned i = 0; i < (at_full_length() ? 20U : 2U); ++i) {
        const std::chrono::milliseconds after_the_edge(i);
        storm().event("stekd: kill -9 in a rotation, started again", [&] {
            const auto now = std::chrono::system_clock::now();
            std::this_thread::sleep_until(std::chrono::ceil<std::chrono::seconds>(now) + after_the_edge);
            storm().kill_stekd();
            storm().start_stekd();
        });
    }
}

BOOST_AUTO_TEST_CASE(workers_are_killed_in_the_middle_of_tickets) {
    for (unsigned i = 0; i < (at_full_length() ? 20U : 2U); ++i) {
        storm().event("a worker: kill -9 in C_Encrypt", [] {
            storm().token.sleep("C_Encrypt", 50ms);
            rest(100ms);
            storm().kill_workers({storm().nginx->workers().at(0)});
            storm().token.clear();
        });
    }
}

BOOST_AUTO_TEST_CASE(masters_are_killed) {
    for (unsigned i = 0; i < (at_full_length() ? 5U : 1U); ++i)
        storm().event("nginx: kill -9 of the master, 2 s later of its workers",
                      [] { storm().kill_master(); });
}

BOOST_AUTO_TEST_CASE(the_token_is_slow) {
    storm().event("token: each C_Encrypt takes 0.2 s", [] {
        storm().token.sleep("C_Encrypt", 200ms);
        rest(a_while());
        storm().token.clear();
    });
}

BOOST_AUTO_TEST_CASE(the_token_fails) {
    storm().listen_from_here();
    storm().event("token: each call fails", [] {
        storm().token.fail_all_calls(CKR_DEVICE_ERROR);
        rest(3s);
        storm().token.clear();
    });
    BOOST_TEST(storm().workers_say("ticket token down"));
    expect_stekd_to_have_said("CKR_DEVICE_ERROR");
    storm().expect_stekd_to_be_well();
}

BOOST_AUTO_TEST_CASE(the_tokens_are_gone_and_back) {
    storm().listen_from_here();
    storm().event("tokens: both directories gone, and back", [] {
        const auto away = storm().disk.path() / "away";
        fs::create_directory(away);
        std::vector<fs::path> tokens;
        for (const auto& token : fs::directory_iterator(storm().tokens))
            tokens.push_back(token.path());
        for (const auto& token : tokens)
            fs::rename(token, away / token.filename());
        rest(3s);
        for (const auto& token : tokens)
            fs::rename(away / token.filename(), token);
    });
    BOOST_TEST(storm().workers_say("ticket token down"));
    expect_stekd_to_have_said("trying again");
    storm().expect_stekd_to_be_well();
}

BOOST_AUTO_TEST_CASE(the_ticket_token_is_lost_for_good) {
    storm().listen_from_here();
    storm().event("tokens: the ticket token lost, made anew by stekd", [] {
        const auto serial = storm().stekd.ring()->token_serial;
        for (const auto& token : fs::directory_iterator(storm().tokens))
            if (fs::equivalent(token.path(), storm().stekd.token_directory(serial)))
                fs::rename(token.path(), storm().disk.path() / "lost");
        BOOST_TEST(eventually([&] { return storm().stekd.ring()->token_serial != serial; }, 60s));
    });
    expect_stekd_to_have_said("the ticket token is lost and made anew");
    storm().expect_stekd_to_be_well();
}

// Those of the provider and the token in it; of nginx's own none fails, which would be nginx's affair.
BOOST_AUTO_TEST_CASE(workers_have_no_memory) {
    for (const unsigned one_in : {1U, 7U}) {
        storm().listen_from_here();
        const auto failed = storm().memory->failed.load();
        storm().event("workers: one in " + std::to_string(one_in) + " allocations fails", [&] {
            storm().memory->one_in = one_in;
            rest(a_while());
            storm().memory->one_in = 0;
        });
        BOOST_TEST(storm().memory->failed.load() > failed);
    }
}

BOOST_AUTO_TEST_CASE(workers_have_no_descriptors) {
    storm().event("workers: no descriptor but for one connection", [&] {
        std::vector<Lowered::Limit> limits;
        for (const pid_t worker : storm().nginx->workers())
            limits.push_back({worker, descriptors_in_use(worker) + 1});
        const Lowered lowered(RLIMIT_NOFILE, limits);
        rest(500ms);
        storm().token.fail("C_Encrypt", CKR_DEVICE_REMOVED);  // opening the token anew takes some
        rest(500ms);
        storm().token.clear();
        rest(a_while());
    });
}

BOOST_AUTO_TEST_CASE(stekd_has_no_descriptors) {
    storm().listen_from_here();
    storm().event("stekd: no descriptor", [&] {
        const pid_t stekd = storm().stekd.daemon->pid();
        const Lowered lowered(RLIMIT_NOFILE, {{stekd, descriptors_in_use(stekd)}});
        storm().keep_stekd_running(3s);
    });
    expect_stekd_to_have_said("trying again");
    storm().expect_stekd_to_be_well();
}

BOOST_AUTO_TEST_CASE(stekd_has_no_memory) {
    storm().event("stekd: not a page of memory more", [&] {
        const pid_t stekd = storm().stekd.daemon->pid();
        const Lowered lowered(RLIMIT_AS, {{stekd, address_space_in_use(stekd)}});
        storm().keep_stekd_running(3s);
    });
    storm().expect_stekd_to_be_well();
    const auto control = storm().workspace.path() / "memory of stekd";
    auto* memory = tests::make_shared_file<tests::AllocationControl>(control);
    memory->whole_program = true;
    storm().kill_stekd();
    storm().start_stekd(
        {{"LD_PRELOAD", STEK_ALLOCATION_LIBRARY}, {"STEK_ALLOCATION_FAULT", control.string()}});
    for (const unsigned one_in : {10U, 1000U}) {
        storm().event("stekd: one in " + std::to_string(one_in) + " allocations fails", [&] {
            memory->one_in = one_in;
            storm().keep_stekd_running(3s);
            memory->one_in = 0;
        });
        BOOST_TEST(memory->failed.exchange(0) > 0U);
        storm().expect_stekd_to_be_well();
    }
    storm().kill_stekd();
    storm().start_stekd();
}

BOOST_AUTO_TEST_CASE(stekd_can_have_no_thread) {
    storm().event("stekd: kill -9 and started where no thread can be had", [] {
        storm().kill_stekd();
        const auto outcome = run({STEK_NO_THREADS, STEK_STEKD, "--config", storm().stekd.config()});
        BOOST_TEST(outcome.exit_code != 0, outcome.output);
        BOOST_TEST(outcome.output.find("stekd: ") != std::string::npos, outcome.output);
        storm().start_stekd();
    });
}

BOOST_AUTO_TEST_CASE(the_disk_is_full) {
    storm().listen_from_here();
    storm().event("stekd: disk full", [] {
        storm().disk.fill();
        storm().keep_stekd_running(3s);
        storm().disk.free();
    });
    expect_stekd_to_have_said("No space left on device");
    storm().expect_stekd_to_be_well();
    storm().event("stekd: kill -9 and started on a full disk", [] {
        storm().disk.fill();
        storm().kill_stekd();
        storm().keep_stekd_running(3s);
        storm().disk.free();
    });
    storm().expect_stekd_to_be_well();
}

BOOST_AUTO_TEST_CASE(the_end) {
    const std::uint64_t enough = at_full_length() ? 100'000 : 3'000;
    while (storm().table.total().handshakes < enough)
        storm().event("nothing", [] { rest(a_while()); });
    std::cout << storm().table.text() << storm().ring->looks() << " looks at the ring, "
              << storm().ring->looks_without_a_key() << " of them without a key to seal with, "
              << storm().ring->keys() << " keys seen\n";
    BOOST_TEST(storm().table.total().failed == 0U);
    for (const auto& wrong : storm().ring->wrong())
        BOOST_ERROR("the ring: " + wrong);

    storm().stekd.daemon->stop();
    const auto check = storm().stekd.check();
    BOOST_TEST(check.exit_code == 0, check.output);
    const auto once = storm().stekd.once();
    BOOST_TEST(once.exit_code == 0, once.output);
    BOOST_TEST(chain_position(daemon::load_config(storm().stekd.config())).has_value());
}
