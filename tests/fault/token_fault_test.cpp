// The ticket token fails in every way that a test can make it fail: no handshake does, the journal tells why,
// and resumption comes back. Each case runs in a process of its own (meson), each fault in a child.
#define BOOST_TEST_MODULE token_fault
#include "tests/fixtures/faulty_module.hpp"
#include "tests/fixtures/journal_catcher.hpp"
#include "tests/fixtures/known_ring.hpp"
#include "tests/fixtures/memory_tls.hpp"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>
#include <unistd.h>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <openssl/conf.h>
#include <sys/wait.h>

using namespace stek;
using namespace stek::tests;

namespace {

constexpr int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

struct Scene {
    Scene() : faulty(ring.softhsm().directory()), journal(ring.softhsm().directory()), identity("a.example") {
        ring.add_current();
    }
    /// As a server would have it; libssl objects come after.
    void configure() {
        auto section = ring.section({{"attach", "yes"}}, faulty.path());
        BOOST_REQUIRE(CONF_modules_load_file(ring.write_conf(section).c_str(), nullptr, 0) == 1);
    }
    KnownRing ring;
    FaultyModule faulty;
    JournalCatcher journal;
    Identity identity;
};

struct Outcome {
    unsigned failed = 0;  ///< handshakes
    unsigned resumed = 0;
};

/// `count` connections in a row with each version, each on the last one's ticket.
Outcome visit(const Ctx& server, int count) {
    Outcome outcome;
    for (const int version : versions) {
        const Ctx client = client_ctx(version);
        Session session;
        for (int i = 0; i < count; ++i) {
            Handshake next = connect(client.get(), server.get(), session.get(), "a.example");
            outcome.failed += next.done ? 0 : 1;
            outcome.resumed += next.resumed ? 1 : 0;
            session = next.ticket.empty() ? nullptr : std::move(next.session);
        }
    }
    return outcome;
}

/// Whether resumption comes back within a back-off's time, with no handshake failing meanwhile.
bool heals(const Ctx& server) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(15);
    while (std::chrono::steady_clock::now() < deadline) {
        const Outcome now = visit(server, 2);
        if (now.failed != 0) {
            return false;
        }
        if (now.resumed == 2) {
            return true;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
}

/// Runs in a child that has loaded nothing yet; true if it says so.
bool in_child(const std::function<bool()>& body) {
    const pid_t child = fork();
    if (child == 0) {
        bool good = false;
        try {
            good = body();
        } catch (const std::exception& error) {
            std::fprintf(stderr, "in the child: %s\n", error.what());
        }
        std::fflush(nullptr);
        _exit(good ? 0 : 1);
    }
    int status = 0;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void fail_each_call_once(CK_RV rv) {
    Scene scene;
    const auto run = [&] {
        scene.configure();
        const Ctx server = server_ctx(scene.identity);
        const Outcome outcome = visit(server, 4);
        return outcome.failed == 0 && heals(server);
    };
    BOOST_REQUIRE(in_child(run));
    const auto calls = scene.faulty.total_calls();
    BOOST_TEST(calls > 20U);
    for (std::uint64_t n = 1; n <= calls; ++n) {
        scene.faulty.reset_counts();
        scene.faulty.fail_nth_call(n, rv);
        BOOST_TEST(in_child(run), "call " << n << " of " << calls);
        scene.faulty.clear();
    }
    BOOST_TEST(scene.journal.says("token down"));
    BOOST_TEST(scene.journal.says("token back"));
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_child_forked_while_the_token_hangs_does_without) {
    Scene scene;
    scene.configure();
    const Ctx server = server_ctx(scene.identity);
    for (const char* call : {"C_Initialize", "C_UnwrapKey"}) {
        scene.faulty.sleep(call, std::chrono::seconds(3));
    }
    std::thread first([&] { BOOST_TEST(visit(server, 1).failed == 0); });
    std::this_thread::sleep_for(std::chrono::seconds(1));
    BOOST_TEST(in_child([&] {
        alarm(20);  // a hang ends the child
        const Outcome outcome = visit(server, 4);
        return outcome.failed == 0 && outcome.resumed == 0;
    }));
    first.join();
    scene.faulty.clear();
    BOOST_TEST(heals(server));
    BOOST_TEST(scene.journal.says("does without the token"));
}

// A fork waits for the calls that are being made, and whoever comes meanwhile waits for the fork.
BOOST_AUTO_TEST_CASE(a_fork_beside_calls_loses_no_resumption) {
    Scene scene;
    scene.configure();
    const Ctx server = server_ctx(scene.identity);
    BOOST_REQUIRE(visit(server, 2).resumed == 2);
    scene.faulty.sleep("C_Decrypt", std::chrono::milliseconds(20));
    std::atomic<unsigned> failed{0}, resumed{0}, threads_left{4};
    constexpr int connections = 20;
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            const Outcome outcome = visit(server, connections);
            failed += outcome.failed;
            resumed += outcome.resumed;
            --threads_left;
        });
    }
    unsigned forks = 0;
    for (; threads_left > 0; ++forks) {
        BOOST_REQUIRE(in_child([] { return true; }));
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    threads.clear();
    BOOST_TEST(forks > 10U);
    BOOST_TEST(failed == 0U);
    BOOST_TEST(resumed == 4U * 2 * (connections - 1));
    BOOST_TEST(!scene.journal.says("token down"));
    BOOST_TEST(!scene.journal.says("bad-tag"));
}

BOOST_AUTO_TEST_CASE(each_call_fails_with_general_error) {
    fail_each_call_once(CKR_GENERAL_ERROR);
}
BOOST_AUTO_TEST_CASE(each_call_fails_with_device_removed) {
    fail_each_call_once(CKR_DEVICE_REMOVED);
}
BOOST_AUTO_TEST_CASE(each_call_fails_with_session_handle_invalid) {
    fail_each_call_once(CKR_SESSION_HANDLE_INVALID);
}

BOOST_AUTO_TEST_CASE(each_function_fails_for_good_and_comes_back) {
    for (const std::string_view function :
         {"C_Initialize", "C_GetSlotList", "C_GetTokenInfo", "C_GetMechanismInfo", "C_OpenSession",
          "C_FindObjectsInit", "C_FindObjects", "C_UnwrapKey", "C_EncryptInit", "C_Encrypt", "C_DecryptInit",
          "C_Decrypt"}) {
        Scene scene;
        const bool good = in_child([&] {
            scene.configure();
            const Ctx server = server_ctx(scene.identity);
            scene.faulty.fail(function, CKR_DEVICE_ERROR);
            const Outcome down = visit(server, 5);
            scene.faulty.clear();
            return down.failed == 0 && heals(server);
        });
        BOOST_TEST(good, function);
        // A mechanism that the token does not tell of is one it does not have.
        const char* reason = function == "C_GetMechanismInfo" ? "has no CKM_" : "CKR_DEVICE_ERROR";
        BOOST_TEST(scene.journal.says(reason), function);
    }
}

BOOST_AUTO_TEST_CASE(no_free_session) {
    Scene scene;
    scene.configure();
    const Ctx server = server_ctx(scene.identity);
    scene.faulty.fail("C_OpenSession", CKR_SESSION_COUNT);
    const Outcome down = visit(server, 5);
    BOOST_TEST(down.failed == 0U);
    BOOST_TEST(down.resumed == 0U);
    BOOST_TEST(scene.journal.says("CKR_SESSION_COUNT"));
    scene.faulty.clear();
    BOOST_TEST(heals(server));
}

BOOST_AUTO_TEST_CASE(a_token_that_hangs_for_five_seconds) {
    Scene scene;
    scene.configure();
    const Ctx server = server_ctx(scene.identity);
    BOOST_TEST(visit(server, 3).failed == 0U);
    scene.faulty.sleep("C_Encrypt", std::chrono::seconds(5));
    scene.faulty.reset_counts();
    const Outcome slow = visit(server, 20);
    BOOST_TEST(slow.failed == 0U);
    // One call hangs; then the token rests for as long, and the other handshakes do without it. (Two, on a
    // machine where they take longer than that.)
    BOOST_TEST(scene.faulty.calls("C_Encrypt") >= 1U);
    BOOST_TEST(scene.faulty.calls("C_Encrypt") <= 2U);
    BOOST_TEST(scene.journal.says("token took more than a second"));
    scene.faulty.clear();
    BOOST_TEST(heals(server));
}

BOOST_AUTO_TEST_CASE(token_files_removed_and_back) {
    Scene scene;
    scene.configure();
    const Ctx server = server_ctx(scene.identity);
    const auto directory = scene.ring.token().directory;
    const auto away = directory.parent_path().parent_path() / "away";
    // Absent from the start.
    std::filesystem::rename(directory, away);
    const Outcome absent = visit(server, 3);
    BOOST_TEST(absent.failed == 0U);
    BOOST_TEST(absent.resumed == 0U);
    BOOST_TEST(scene.journal.says("token down"));
    // Later there.
    std::filesystem::rename(away, directory);
    BOOST_TEST(heals(server));
    BOOST_TEST(scene.journal.says("token back"));
    // Removed under a serving process: what is unwrapped goes on, or full handshakes; nothing fails.
    std::filesystem::rename(directory, away);
    BOOST_TEST(visit(server, 3).failed == 0U);
    scene.ring.add_current();  // a rotation: the new key cannot be unwrapped
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    BOOST_TEST(visit(server, 3).failed == 0U);
    std::filesystem::rename(away, directory);
    BOOST_TEST(heals(server));
}
