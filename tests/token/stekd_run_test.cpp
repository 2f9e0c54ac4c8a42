// stekd as a service: what the ring looks like while it runs, and what happens around it.
#define BOOST_TEST_MODULE stekd_run
#include "expect.hpp"
#include "pkcs11/session.hpp"
#include "provider/ticket_token.hpp"
#include "provider/vault.hpp"
#include "stekd_instance.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include <boost/test/unit_test.hpp>
#include <sys/socket.h>
#include <sys/un.h>

namespace fs = std::filesystem;
using namespace stek;
using namespace stek::test;
using namespace std::chrono_literals;

namespace {

/// What systemd would hear: a datagram socket at $NOTIFY_SOCKET.
class NotifySocket {
  public:
    explicit NotifySocket(const fs::path& path) : path_(path), fd_(::socket(AF_UNIX, SOCK_DGRAM, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.string().copy(address.sun_path, sizeof address.sun_path - 1);
        BOOST_REQUIRE(::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }
    NotifySocket(const NotifySocket&) = delete;
    NotifySocket& operator=(const NotifySocket&) = delete;
    ~NotifySocket() { ::close(fd_); }

    /// Waits for a message with this text in it; all that came is kept.
    bool hears(const std::string& text) {
        return eventually(
            [&] {
                char buffer[4096];
                for (ssize_t n; (n = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT)) > 0;)
                    heard.append(buffer, static_cast<std::size_t>(n)).append("\n");
                return heard.find(text) != std::string::npos;
            },
            60s);
    }
    [[nodiscard]] Environment environment() const { return {{"NOTIFY_SOCKET", path_}}; }

    std::string heard;

  private:
    fs::path path_;
    int fd_;
};

unsigned objects_in(const fs::path& directory) {
    return static_cast<unsigned>(object_files(directory).size());
}

/// The vault's directory is the one that nobody else may enter.
fs::path token_directory(const StekdInstance& instance, bool vault) {
    for (const auto& token : fs::directory_iterator(instance.directory / "tokens"))
        if ((fs::status(token.path()).permissions() == fs::perms::owner_all) == vault)
            return token.path();
    throw std::runtime_error("no such token");
}

}  // namespace

// Read every 20 ms for eight epochs: the ring is always whole, always has a key that seals now and one for
// the next epoch, and names change with each epoch only.
BOOST_AUTO_TEST_CASE(at_every_moment_there_is_a_key) {
    StekdInstance instance(1, 3);
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    const auto first = instance.ring();
    std::map<std::pair<std::uint64_t, std::uint32_t>, KeyName> names;
    std::set<KeyName> sealed_with;
    const auto end = std::chrono::steady_clock::now() + 8s;
    while (std::chrono::steady_clock::now() < end) {
        const auto ring = instance.ring();
        BOOST_REQUIRE(ring);
        const auto now = time(nullptr);
        const auto* sealing = sealing_record(*ring, now, 0);
        BOOST_REQUIRE(sealing != nullptr);
        BOOST_TEST(sealing_record(*ring, now + 1, 0) != nullptr);
        sealed_with.insert(sealing->name);
        for (const auto& record : ring->records)
            BOOST_TEST((names.try_emplace({record->epoch, record->revision}, record->name).first->second ==
                        record->name));
        std::this_thread::sleep_for(20ms);
    }
    BOOST_TEST(sealed_with.size() >= 7U);
    // What has expired is gone: from the ring, and from the token the chain keys before.
    const auto oldest = first->records.front().get();
    BOOST_TEST(eventually([&] { return opening_record(*instance.ring(), oldest->name, 0) == nullptr; }));
    BOOST_TEST(eventually([&] { return objects_in(token_directory(instance, true)) == 1U; }, 60s));
    BOOST_TEST(objects_in(token_directory(instance, false)) <= 4U);  // two pairs at most
    instance.daemon->signal(SIGTERM);
    BOOST_TEST(instance.daemon->wait(20s));
    BOOST_TEST(instance.daemon->exit_code() == 0);
}

BOOST_AUTO_TEST_CASE(pairs_go_with_their_records_and_the_chain_goes_on) {
    StekdInstance instance(3600, 7200);
    BOOST_REQUIRE(instance.once().exit_code == 0);
    const auto files = [&] { return object_files(token_directory(instance, false)); };
    const auto before = files();
    const auto keys = instance.ring();
    for (int hour = 1; hour <= 5; ++hour) {
        // The age goes with the clock: both are moved.
        const auto outcome = run({"faketime", "-f", "+" + std::to_string(hour) + "h", STEK_STEKD, "--config",
                                  instance.config(), "--once"});
        BOOST_TEST(outcome.exit_code == 0, outcome.output);
    }
    const auto ring = instance.ring();
    std::set<PairId> pairs;
    for (const auto& record : ring->records) {
        pairs.insert(record->pair);
        BOOST_TEST(
            std::ranges::none_of(keys->records, [&](const auto& old) { return old->name == record->name; }));
    }
    const auto after = files();
    BOOST_TEST(after.size() == 2 * pairs.size());
    BOOST_TEST(std::ranges::none_of(before, [&](const auto& file) { return after.contains(file); }));
    BOOST_TEST(objects_in(token_directory(instance, true)) == 1U);  // one chain key, the newest
}

BOOST_AUTO_TEST_CASE(without_a_state_its_pairs_are_strays_and_go) {
    StekdInstance instance;
    BOOST_TEST(instance.once().exit_code == 0);
    const auto before = objects_in(token_directory(instance, false));
    fs::remove(instance.ring_file());
    fs::remove(instance.directory / "state/state.json");
    const auto outcome = instance.once();  // nobody knows the old pairs any more
    BOOST_TEST(outcome.exit_code == 0, outcome.output);
    BOOST_TEST(outcome.output.find("stray key pair destroyed") != std::string::npos, outcome.output);
    BOOST_TEST(objects_in(token_directory(instance, false)) == before);
}

BOOST_AUTO_TEST_CASE(killed_at_random_moments_it_goes_on) {
    StekdInstance instance(1, 3);
    std::map<std::pair<std::uint64_t, std::uint32_t>, KeyName> names;
    std::set<KeyName> all;
    std::srand(7);
    for (int kill = 0; kill < 20; ++kill) {
        instance.start();
        if (kill % 4 == 0)
            BOOST_TEST(instance.says("published"));
        std::this_thread::sleep_for(std::chrono::milliseconds(std::rand() % 900));
        instance.daemon->signal(SIGKILL);
        BOOST_REQUIRE(instance.daemon->wait(20s));
        const auto ring = instance.ring();  // throws if it is not whole
        if (!ring)
            continue;
        for (const auto& record : ring->records) {
            const auto [known, is_new] = names.try_emplace({record->epoch, record->revision}, record->name);
            BOOST_TEST((known->second == record->name), "one (epoch, revision), one name");
            if (is_new)
                BOOST_TEST(all.insert(record->name).second, "no name comes back");
        }
    }
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    const auto ring = instance.ring();
    BOOST_TEST(sealing_record(*ring, time(nullptr), 0) != nullptr);
    // It runs on, so for a moment in each epoch there are two chain keys.
    BOOST_TEST(eventually([&] { return objects_in(token_directory(instance, true)) == 1U; }));
    BOOST_TEST(objects_in(token_directory(instance, false)) <= 4U);  // no stray was left
    instance.daemon->stop();
    for (const bool vault : {true, false})
        for (const auto& file : fs::directory_iterator(token_directory(instance, vault)))
            if (file.path().extension() == ".object")
                BOOST_TEST(file.file_size() > 0U, file.path());
}

BOOST_AUTO_TEST_CASE(a_second_one_on_the_same_state_leaves) {
    StekdInstance instance;
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    const auto second = instance.once();
    BOOST_TEST(second.exit_code == 75);
    BOOST_TEST(second.output.find("another stekd (process " + std::to_string(instance.daemon->pid())) !=
                   std::string::npos,
               second.output);
    const auto check = instance.check();
    BOOST_TEST(check.exit_code == 0, check.output);
    BOOST_TEST(check.output.find("no login, no probe") != std::string::npos, check.output);
    BOOST_TEST(instance.status().output.find("stekd is process " + std::to_string(instance.daemon->pid())) !=
               std::string::npos);
    BOOST_TEST(instance.daemon->running());
}

// The same tokens by another configuration: its state knows nothing of the first one's pairs.
BOOST_AUTO_TEST_CASE(a_second_one_on_the_same_tokens_leaves) {
    StekdInstance instance;
    auto text = read_file(instance.config());
    for (const auto& [from, to] : {std::pair<std::string, std::string>("/run/keyring", "/run/other-ring"),
                                   {"/state\"", "/other-state\""},
                                   {"control =", "# control ="},
                                   {"stats =", "# stats ="},
                                   {"server_config =", "# server_config ="}})
        text.replace(text.find(from), from.size(), to);
    const std::string other = instance.directory / "other.toml";
    write_file(other, text);
    const auto once = [&] { return run({STEK_STEKD, "--config", other, "--once"}); };
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    BOOST_REQUIRE(eventually([&] { return instance.ring()->records.size() == 2; }, 60s));
    const auto pairs = object_files(token_directory(instance, false));
    const auto busy =
        "another stekd (process " + std::to_string(instance.daemon->pid()) + ") works in the token";
    expect(once(), 75, busy);
    Process second({STEK_STEKD, "--config", other}, {}, instance.directory / "other.log");
    BOOST_REQUIRE(second.wait(60s));
    BOOST_TEST(second.exit_code() == 75);
    // It closes its tokens and opens them anew, and holds them all the time.
    instance.daemon->signal(SIGHUP);
    BOOST_REQUIRE(instance.says("configuration read anew"));
    expect(once(), 75, busy);
    expect(run({STEK_STEKD, "--config", other, "--check"}), 0, busy);
    BOOST_TEST(object_files(token_directory(instance, false)) == pairs);
    BOOST_TEST(!fs::exists(instance.directory / "run/other-ring"));
    instance.daemon->stop();
    expect(once(), 0, "");
}

BOOST_AUTO_TEST_CASE(a_token_that_is_missing_at_the_start_is_waited_for) {
    StekdInstance instance;
    NotifySocket notify(instance.space.path() / "notify");
    fs::rename(instance.directory / "tokens", instance.directory / "elsewhere");
    fs::create_directory(instance.directory / "tokens");
    instance.start(notify.environment());
    BOOST_REQUIRE(instance.says("trying again"));
    BOOST_TEST(notify.hears("trying again"));
    BOOST_TEST(notify.heard.find("READY=1") == std::string::npos);
    BOOST_TEST(!fs::exists(instance.ring_file()));
    fs::remove(instance.directory / "tokens");
    fs::rename(instance.directory / "elsewhere", instance.directory / "tokens");
    BOOST_TEST(notify.hears("READY=1"));
    BOOST_TEST(fs::exists(instance.ring_file()));
    BOOST_TEST(instance.says("all is well again"));
    instance.daemon->stop();
    BOOST_TEST(notify.hears("STOPPING=1"));
}

BOOST_AUTO_TEST_CASE(it_is_ready_only_once_the_ring_is_in_place) {
    StekdInstance instance;
    NotifySocket notify(instance.space.path() / "notify");
    auto environment = notify.environment();
    environment["WATCHDOG_USEC"] = "1000000";
    instance.start(environment);
    const bool ring_first = eventually(
        [&] {
            const bool there = fs::exists(instance.ring_file());
            return there || notify.heard.find("READY=1") != std::string::npos;
        },
        60s);
    BOOST_TEST(ring_first);
    BOOST_TEST(notify.hears("READY=1"));
    BOOST_TEST(fs::exists(instance.ring_file()));
    BOOST_TEST(notify.hears("STATUS=sealing with e="));
    BOOST_TEST(notify.hears("WATCHDOG=1"));
}

// The vault is away, so there cannot be a ring: a reload changes nothing of that.
BOOST_AUTO_TEST_CASE(a_reload_before_there_is_a_ring_does_not_make_it_ready) {
    StekdInstance instance;
    const auto vault = token_directory(instance, true);
    fs::rename(vault, instance.directory / "away");
    NotifySocket notify(instance.space.path() / "notify");
    instance.start(notify.environment());
    BOOST_REQUIRE(instance.says("trying again"));
    instance.daemon->signal(SIGHUP);
    BOOST_TEST(instance.says("the old configuration stays"));
    BOOST_TEST(notify.hears("; trying again"));
    BOOST_TEST(notify.heard.find("READY=1") == std::string::npos, notify.heard);
    fs::rename(instance.directory / "away", vault);
    BOOST_TEST(notify.hears("READY=1"));
    BOOST_TEST(fs::exists(instance.ring_file()));
}

BOOST_AUTO_TEST_CASE(reload_takes_a_good_configuration_and_keeps_the_old_one_otherwise) {
    StekdInstance instance;
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    instance.edit("period = 3600", "period = 0");
    instance.daemon->signal(SIGHUP);
    BOOST_TEST(instance.says("the old configuration stays: " + instance.config() + ":2: period"));
    BOOST_TEST(instance.daemon->running());
    instance.edit("period = 0", "period = 1800");
    instance.daemon->signal(SIGHUP);
    BOOST_TEST(instance.says("configuration read anew"));
    BOOST_TEST(eventually([&] { return instance.ring()->period == 1800U; }, 60s));
    const auto ring = instance.ring();
    BOOST_TEST(sealing_record(*ring, time(nullptr), 0) != nullptr);
    BOOST_TEST(ring->records.size() >= 3U);  // the old ones stay for their time
    BOOST_TEST(instance.daemon->running());
}

BOOST_AUTO_TEST_CASE(a_ring_that_is_removed_comes_back_with_the_next_turn) {
    StekdInstance instance(2, 6);
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    fs::remove(instance.ring_file());
    BOOST_TEST(eventually([&] { return fs::exists(instance.ring_file()); }, 60s));
    BOOST_TEST(sealing_record(*instance.ring(), time(nullptr), 0) != nullptr);
}

#ifndef __SANITIZE_THREAD__  // it has a thread of its own that wakes
// No descriptor is polled, no lock waited for with a time: till the next epoch the kernel has no reason to
// run it.
BOOST_AUTO_TEST_CASE(idle_it_is_not_woken) {
    StekdInstance instance;
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    const auto switches = [&] {
        long sum = 0;
        for (const auto& task :
             fs::directory_iterator("/proc/" + std::to_string(instance.daemon->pid()) + "/task")) {
            const auto status = read_file(task.path() / "status");
            sum += std::stol(status.substr(status.find("\nvoluntary_ctxt_switches:") + 25));
        }
        return sum;
    };
    const auto in_a_while = [&] {
        std::this_thread::sleep_for(3s);
        const auto before = switches();
        std::this_thread::sleep_for(15s);
        return switches() - before;
    };
    const auto generation = instance.ring()->generation;
    auto woken = in_a_while();
    if (instance.ring()->generation != generation)  // an hour began meanwhile
        woken = in_a_while();
    BOOST_TEST(woken == 0);
}
#endif

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they make nothing of mlockall()
BOOST_AUTO_TEST_CASE(its_memory_is_locked_and_small) {
    StekdInstance instance;
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    const auto status = read_file("/proc/" + std::to_string(instance.daemon->pid()) + "/status");
    const auto kilobytes = [&](const std::string& name) {
        return std::stol(status.substr(status.find("\n" + name + ":") + name.size() + 2));
    };
    BOOST_TEST(kilobytes("VmLck") > 4096);  // root here, so no limit holds
    BOOST_TEST(kilobytes("VmRSS") < 16384);
    BOOST_TEST(instance.log().find("swapped out") == std::string::npos);
}
#endif
