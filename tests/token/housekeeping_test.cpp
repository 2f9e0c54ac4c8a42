// What is in the memory of a server that nobody visits any more: after its key's time is over, or the key is
// revoked, neither the STEK nor the admission key. The server is a program of its own, for this one knows
// both.
#define BOOST_TEST_MODULE housekeeping
#include "tests/fixtures/journal_catcher.hpp"
#include "tests/fixtures/known_ring.hpp"
#include "tests/fixtures/other_process.hpp"
#include "tests/token/idle_server.hpp"

#include <atomic>
#include <chrono>
#include <ctime>
#include <functional>
#include <thread>

#include <boost/test/unit_test.hpp>
#include <openssl/rand.h>

using namespace stek;
using namespace stek::tests;
using namespace std::chrono_literals;

namespace {

constexpr auto promised = 2s;
constexpr const char* thread_name = "stek-housekeep";
#if defined __SANITIZE_THREAD__ || defined __SANITIZE_ADDRESS__
constexpr int longer = 5;  // a search of such a process takes seconds: a key must live to be found
#else
constexpr int longer = 1;
#endif

std::size_t threads_of(pid_t process) {
    return threads_named(process, thread_name).size();
}

bool within(std::chrono::milliseconds limit, const std::function<bool()>& holds) {
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!holds()) {
        if (std::chrono::steady_clock::now() > until)
            return false;
        std::this_thread::sleep_for(20ms);
    }
    return true;
}

/// A ring with one key, and what to look for.
struct Scene {
    KnownRing ring;
    JournalCatcher journal{ring.softhsm().directory()};
    std::array<std::uint8_t, 32> stek{}, admission_key{};
    KeyName name{};
    std::int64_t open_until = 0;

    /// The key seals and opens for so many seconds each.
    explicit Scene(std::int64_t seals = 3600, std::int64_t opens = 7200) {
        BOOST_REQUIRE(RAND_bytes(stek.data(), static_cast<int>(stek.size())) == 1);
        const auto now = std::time(nullptr);
        name = ring.add(stek, 1, now, seals, opens);
        std::copy_n(record().admission_key.data(), admission_key.size(), admission_key.data());
        open_until = record().open_until;
    }
    [[nodiscard]] RingRecord& record() { return *ring.ring().records.front(); }
    [[nodiscard]] std::string conf() const { return ring.write_conf(ring.section({{"attach", "yes"}})); }
    [[nodiscard]] bool held_by(pid_t process) const {
        return times_in_memory(process, stek) > 0 && times_in_memory(process, admission_key) > 0;
    }
    [[nodiscard]] bool gone_from(pid_t process) const {
        return times_in_memory(process, stek) == 0 && times_in_memory(process, admission_key) == 0;
    }
    [[nodiscard]] bool over() const { return std::time(nullptr) >= open_until; }
};

/// Replaces the ring all the time, so that the server's thread never rests.
class RestlessRing {
  public:
    explicit RestlessRing(KnownRing& ring)
        : thread_([&ring](const std::stop_token& stop) {
              while (!stop.stop_requested()) {
                  ring.write();
                  std::this_thread::sleep_for(1ms);
              }
          }) {}

  private:
    std::jthread thread_;
};

void gone_within_the_promise(const Scene& scene, pid_t process) {
    BOOST_TEST(within(promised, [&] { return scene.gone_from(process); }));
}

}  // namespace

BOOST_AUTO_TEST_CASE(no_thread_before_the_first_key) {
    Scene scene;
    IdleServer server(scene.conf());
    BOOST_TEST(!within(1s, [&] { return threads_of(server.pid()) > 0; }));
    BOOST_TEST(server.order('h') == "ok");
    BOOST_TEST(within(1s, [&] { return threads_of(server.pid()) == 1; }));
    BOOST_TEST(server.exit() == 0);
}

BOOST_AUTO_TEST_CASE(the_thread_sleeps_while_nothing_changes) {
    Scene scene;
    IdleServer server(scene.conf());
    BOOST_REQUIRE(server.order('h') == "ok");
    std::this_thread::sleep_for(500ms);
    const auto threads = threads_named(server.pid(), thread_name);
    BOOST_REQUIRE(threads.size() == 1U);
    const auto before = sleeps_of(server.pid(), threads.front());
    std::this_thread::sleep_for(4s);
    BOOST_TEST(sleeps_of(server.pid(), threads.front()) == before);
    scene.ring.write();
    BOOST_TEST(within(promised, [&] { return sleeps_of(server.pid(), threads.front()) > before; }));
}

BOOST_AUTO_TEST_CASE(gone_when_the_open_window_is_over) {
    Scene scene(3 * longer, 3 * longer);
    IdleServer server(scene.conf());
    BOOST_REQUIRE(server.order('h') == "ok");
    BOOST_REQUIRE(scene.held_by(server.pid()));
    // No stekd: the file stays as it is.
    BOOST_REQUIRE(within(10s * longer, [&] { return scene.over(); }));
    gone_within_the_promise(scene, server.pid());
    BOOST_TEST(within(promised, [&] { return threads_of(server.pid()) == 0; }),
               "nothing is left to look after");
}

BOOST_AUTO_TEST_CASE(gone_by_age_whatever_the_wall_clock_says) {
    Scene scene;
    scene.record().destroy_at = Moment::now().boot_ms / 1000 + 5 * longer;
    scene.ring.write();
    IdleServer server(scene.conf());
    BOOST_REQUIRE(server.order('h') == "ok");
    BOOST_REQUIRE(scene.held_by(server.pid()));
    BOOST_REQUIRE(
        within(10s * longer, [&] { return Moment::now().boot_ms / 1000 >= scene.record().destroy_at; }));
    BOOST_TEST(!scene.over());
    gone_within_the_promise(scene, server.pid());
    BOOST_TEST(server.order('h') == "failed", "nor does it come back");
    BOOST_TEST(scene.gone_from(server.pid()));
}

BOOST_AUTO_TEST_CASE(gone_when_the_record_is) {
    Scene scene;
    IdleServer server(scene.conf());
    BOOST_REQUIRE(server.order('h') == "ok");
    std::array<std::uint8_t, 32> kept{};
    BOOST_REQUIRE(RAND_bytes(kept.data(), static_cast<int>(kept.size())) == 1);
    const KeyName other = scene.ring.add(kept, 2, std::time(nullptr));
    // It takes the other when it has seen the ring, and has both then.
    BOOST_REQUIRE(
        within(5s, [&] { return server.order('h') == "ok" && times_in_memory(server.pid(), kept) > 0; }));
    BOOST_REQUIRE(scene.held_by(server.pid()));
    scene.ring.drop(scene.name);
    gone_within_the_promise(scene, server.pid());
    BOOST_TEST(times_in_memory(server.pid(), kept) > 0U);
    scene.ring.drop(other);
    BOOST_TEST(within(promised, [&] { return times_in_memory(server.pid(), kept) == 0; }));
}

BOOST_AUTO_TEST_CASE(gone_when_the_ring_is_each_time) {
    Scene scene;
    IdleServer server(scene.conf());
    for (int i = 0; i < 3; ++i) {
        BOOST_REQUIRE(within(5s, [&] { return server.order('h') == "ok"; }));
        BOOST_REQUIRE(scene.held_by(server.pid()));
        scene.ring.remove_file();
        gone_within_the_promise(scene, server.pid());
        BOOST_TEST(within(promised, [&] { return threads_of(server.pid()) == 0; }));
        scene.ring.write();
    }
}

BOOST_AUTO_TEST_CASE(threads_that_sleep_keep_nothing) {
    Scene scene;
    IdleServer server(scene.conf());
    for (int i = 0; i < 4; ++i)
        BOOST_REQUIRE(server.order('t') == "ok");
    BOOST_REQUIRE(scene.held_by(server.pid()));
    scene.ring.drop(scene.name);
    gone_within_the_promise(scene, server.pid());
}

BOOST_AUTO_TEST_CASE(gone_from_the_child_of_a_fork) {
    Scene scene;
    IdleServer server(scene.conf());
    const pid_t child = std::stoi(server.order('f'));
    BOOST_REQUIRE(scene.held_by(child));
    BOOST_TEST(within(1s, [&] { return threads_of(child) == 1; }));
    BOOST_TEST(threads_of(server.pid()) == 0U, "the parent has taken no key");
    BOOST_TEST(scene.gone_from(server.pid()));
    scene.ring.drop(scene.name);
    gone_within_the_promise(scene, child);
}

BOOST_AUTO_TEST_CASE(gone_from_parent_and_child_where_both_serve) {
    Scene scene;
    IdleServer server(scene.conf());
    BOOST_REQUIRE(server.order('h') == "ok");
    const pid_t idle = std::stoi(server.order('i'));
    BOOST_TEST(scene.gone_from(idle), "a child inherits nothing");
    const pid_t child = std::stoi(server.order('f'));
    BOOST_REQUIRE(scene.held_by(child));
    BOOST_TEST(scene.held_by(server.pid()), "its parent loses nothing by that");
    BOOST_TEST(server.order('h') == "ok");
    scene.ring.drop(scene.name);
    gone_within_the_promise(scene, server.pid());
    gone_within_the_promise(scene, child);
}

// fs.inotify limits are reached, say: then it looks each second.
BOOST_AUTO_TEST_CASE(gone_without_inotify) {
    Scene scene;
    IdleServer server(scene.conf(), {"/usr/bin/unshare", "--user", "--map-root-user", "/bin/sh", "-c",
                                     "echo 0 > /proc/sys/user/max_inotify_instances && exec \"$0\""});
    BOOST_REQUIRE(server.order('h') == "ok");
    BOOST_REQUIRE(scene.held_by(server.pid()));
    scene.ring.drop(scene.name);
    gone_within_the_promise(scene, server.pid());
}

BOOST_AUTO_TEST_CASE(without_a_thread_it_serves_and_says_so) {
    Scene scene;
    IdleServer server(scene.conf());
    BOOST_REQUIRE(server.order('s') == "ok");
    BOOST_TEST(server.order('h') == "ok");
    BOOST_TEST(threads_of(server.pid()) == 0U);
    BOOST_TEST(scene.journal.says("STEK_STATE=not-looked-after"));
    scene.ring.drop(scene.name);
    scene.ring.add_current();
    BOOST_TEST(!within(promised, [&] { return scene.gone_from(server.pid()); }));
    BOOST_TEST(server.order('h') == "ok");
    BOOST_TEST(scene.gone_from(server.pid()), "the next handshake does it");
    const auto& said = scene.journal.entries();
    BOOST_TEST(std::ranges::count_if(said, [](const auto& entry) {
                   return entry.find("STEK_STATE=not-looked-after") != std::string::npos;
               }) == 1);
}

BOOST_AUTO_TEST_CASE(forks_while_the_thread_works) {
    Scene scene;
    IdleServer server(scene.conf());
    BOOST_REQUIRE(server.order('h') == "ok");
    const RestlessRing restless(scene.ring);
    for (int i = 0; i < 50; ++i)
        BOOST_REQUIRE(server.order('F') == "ok");
    BOOST_TEST(server.order('h') == "ok");
}

BOOST_AUTO_TEST_CASE(exits_while_the_thread_works) {
    Scene scene;
    const RestlessRing restless(scene.ring);
    for (int i = 0; i < 20; ++i) {
        IdleServer server(scene.conf());
        BOOST_REQUIRE(server.order('h') == "ok");
        std::this_thread::sleep_for(std::chrono::milliseconds(5 * i));
        const auto begun = std::chrono::steady_clock::now();
        BOOST_TEST(server.exit() == 0);
        BOOST_TEST((std::chrono::steady_clock::now() - begun < 5s));
    }
}
