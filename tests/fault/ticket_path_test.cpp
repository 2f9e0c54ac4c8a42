// What the ticket path must not do, however long it is walked: grow, touch files, make threads wait for each
// other.
#define BOOST_TEST_MODULE ticket_path
#include "provider/counters.hpp"
#include "tests/fault/ticket_walk.hpp"
#include "tests/fixtures/full_length.hpp"
#include "tests/fixtures/known_ring.hpp"

#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <thread>
#include <unistd.h>

#include <boost/process/args.hpp>
#include <boost/process/env.hpp>
#include <boost/process/io.hpp>
#include <boost/process/search_path.hpp>
#include <boost/process/system.hpp>
#include <boost/test/unit_test.hpp>
#include <openssl/conf.h>

using namespace stek;
using namespace stek::tests;
namespace process = boost::process;

namespace {

long resident_kilobytes() {
    std::ifstream in("/proc/self/statm");
    long pages = 0;
    in >> pages >> pages;
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/// "KIND COUNT" a line.
std::map<std::string, unsigned long> read_counts(const std::string& path) {
    std::map<std::string, unsigned long> counts;
    std::ifstream in(path);
    std::string kind;
    for (unsigned long count = 0; in >> kind >> count;) {
        counts[kind] = count;
    }
    return counts;
}

/// Made for the provider's counters.
std::string stats_directory(KnownRing& ring) {
    const auto directory = ring.softhsm().directory() / "stats";
    std::filesystem::create_directory(directory);
    return directory.string();
}

/// A file changed this very second or the last is read again: its time stamp does not yet tell two apart.
void let_the_ring_settle() {
    std::this_thread::sleep_for(std::chrono::milliseconds(2500));
}

struct Steady {
    unsigned long handshakes = 0;
    long milliseconds = 0;
};

/// Runs steady_server, behind `wrapper` and with `environment` added.
Steady run_steady(const std::vector<std::string>& wrapper,
                  const std::map<std::string, std::string>& environment, int milliseconds, int threads) {
    std::vector<std::string> command = wrapper;
    command.insert(command.end(),
                   {STEK_STEADY_SERVER, std::to_string(milliseconds), std::to_string(threads)});
    process::environment own = boost::this_process::environment();
    for (const auto& [name, value] : environment) {
        own[name] = value;
    }
    process::ipstream out;
    const int status = process::system(command, process::std_out > out, own);
    BOOST_REQUIRE_MESSAGE(status == 0, "steady_server failed: " << status);
    Steady result;
    out >> result.handshakes >> result.milliseconds;
    return result;
}

}  // namespace

BOOST_AUTO_TEST_CASE(memory_is_flat_over_many_tickets) {
    // A million, or a tenth of it where time matters.
    const unsigned tickets = test::at_full_length() ? 1'000'000 : 100'000;
    KnownRing ring;
    ring.add_current();
    const std::string stats = stats_directory(ring);
    auto section = ring.section({{"attach", "yes"}, {"stats", stats}});
    BOOST_REQUIRE(CONF_modules_load_file(ring.write_conf(section).c_str(), nullptr, 0) == 1);
    TicketWalk walk;
    const auto all_good = [&](unsigned count) {
        const auto result = walk.seal(count);
        BOOST_TEST(result.not_resumed == 0U);
        BOOST_TEST(result.without == 0U);
    };
    all_good(tickets / 10);
    const long before = resident_kilobytes();
    all_good(tickets);
    const long grown = resident_kilobytes() - before;
    std::cout << tickets << " tickets: resident memory grew by " << grown << " kB from " << before << '\n';
    BOOST_TEST(collect_counters(stats, false).sealed >= tickets / 10 + tickets);
    BOOST_TEST(grown < 256);  // a leak of 3 bytes a ticket shows in the short run
}

BOOST_AUTO_TEST_CASE(valgrind_finds_no_leak_and_no_wrong_access) {
    const unsigned tickets = test::at_full_length() ? 100'000 : 2000;
    KnownRing ring;
    ring.add_current();
    const auto valgrind = process::search_path("valgrind");
    BOOST_REQUIRE_MESSAGE(!valgrind.empty(), "valgrind is not installed");
    const std::string log = (ring.softhsm().directory() / "valgrind").string();
    process::environment environment = boost::this_process::environment();
    const std::string stats = stats_directory(ring);
    environment["OPENSSL_CONF"] = ring.write_conf(ring.section({{"attach", "yes"}, {"stats", stats}}));
    const int status =
        process::system(valgrind,
                        process::args({"--leak-check=full", "--show-leak-kinds=definite,indirect,possible",
                                       "--errors-for-leak-kinds=definite,indirect,possible",
                                       "--error-exitcode=9", "--suppressions=" STEK_SUPPRESSIONS,
                                       "--log-file=" + log, STEK_TICKET_WALK, std::to_string(tickets)}),
                        environment);
    std::ifstream in(log);
    const std::string said{std::istreambuf_iterator<char>(in), {}};
    BOOST_TEST(status == 0, said);
    BOOST_TEST(collect_counters(stats, false).sealed >= tickets);
    std::cout << tickets << " tickets under valgrind:\n" << said.substr(said.rfind("LEAK SUMMARY")) << '\n';
}

BOOST_AUTO_TEST_CASE(no_file_is_touched_but_by_one_stat_a_second) {
    KnownRing ring;
    ring.add_current();
    const auto conf = ring.write_conf(ring.section({{"attach", "yes"}, {"stats", stats_directory(ring)}}));
    let_the_ring_settle();
    const std::string log = (ring.softhsm().directory() / "strace").string();
    const auto strace = process::search_path("strace");
    BOOST_REQUIRE_MESSAGE(!strace.empty(), "strace is not installed");
    const Steady steady =
        run_steady({strace.string(), "-f", "-qq", "-o", log}, {{"OPENSSL_CONF", conf}}, 3000, 2);
    std::map<std::string, unsigned> calls;
    unsigned ring_stats = 0;
    bool begun = false;
    bool ended = false;
    std::ifstream in(log);
    for (std::string line; std::getline(in, line) && !ended;) {
        std::istringstream words(line);
        std::string thread;
        std::string call;
        words >> thread >> call;
        call = call.substr(0, call.find('('));
        ended = line.find("\"/steady/end\"") != std::string::npos;
        if (begun && !ended && call != "<..." && call != "---") {  // not: the second half of a call, a signal
            ++calls[call];
            ring_stats += line.find(ring.path()) != std::string::npos ? 1 : 0;
        }
        begun = begun || line.find("\"/steady/begin\"") != std::string::npos;
    }
    BOOST_REQUIRE(begun);
    BOOST_REQUIRE(ended);
    unsigned stat_calls = 0;
    for (const char* name :
         {"stat", "newfstatat", "statx", "fstat", "lstat", "access", "faccessat", "faccessat2"}) {
        stat_calls += calls[name];
        calls.erase(name);
    }
    const long seconds = steady.milliseconds / 1000;
    BOOST_TEST(stat_calls == ring_stats);
    BOOST_TEST(stat_calls >= 1U);
    BOOST_TEST(stat_calls <= seconds + 2);
    BOOST_TEST(steady.handshakes > 10UL * stat_calls);  // so that one stat a handshake would show
    // All else that it may call: memory, the generator's seed, which process it is (SoftHSM, OpenSSL's
    // generator), waiting for another thread, the test's sleep.
    for (const char* harmless :
         {"brk", "mmap", "munmap", "mprotect", "madvise", "mremap", "getrandom", "getpid", "futex",
          "clock_nanosleep", "restart_syscall", "sched_yield", "rseq"}) {
        calls.erase(harmless);
    }
    for (const auto& [name, count] : calls) {
        BOOST_ERROR(name << " was called " << count << " times in " << steady.handshakes << " handshakes");
    }
}

BOOST_AUTO_TEST_CASE(threads_share_no_lock_but_the_modules_own) {
    KnownRing ring;
    ring.add_current();
    const auto conf = ring.write_conf(ring.section({{"attach", "yes"}}));
    let_the_ring_settle();
    const std::string out = (ring.softhsm().directory() / "locks").string();
    const auto watch = [&](const std::string& openssl_conf) {
        std::filesystem::remove(out);
        const Steady steady = run_steady(
            {}, {{"OPENSSL_CONF", openssl_conf}, {"LD_PRELOAD", STEK_LOCK_WATCH}, {"LOCK_WATCH_OUT", out}},
            3000, 2);
        BOOST_REQUIRE(steady.handshakes >= 20U);  // the watch walks the stack some 700 times in each
        auto counts = read_counts(out);
        std::cout << steady.handshakes << " handshakes";
        for (const auto& [kind, count] : counts) {
            std::cout << ", " << kind << ' '
                      << static_cast<double>(count) / static_cast<double>(steady.handshakes);
        }
        std::cout << " locks each\n";
        return std::pair(steady, counts);
    };
    auto [steady, locks] = watch(conf);
    auto [stock_steady, stock_locks] = watch("/dev/null");
    // The watch sees: SoftHSM takes locks in each of its calls, libssl and libcrypto in each handshake.
    BOOST_TEST(locks["token-module"] >= steady.handshakes);
    BOOST_TEST(stock_locks["program"] >= stock_steady.handshakes);
    BOOST_TEST(stock_locks["token-module"] == 0U);
    BOOST_TEST(locks["provider-itself"] == 0U);
    // libcrypto has locks of its own, which fetching an algorithm or asking for random bytes takes: no more
    // of them than with stock tickets.
    const auto each = [](unsigned long count, const Steady& in) {
        return static_cast<double>(count) / static_cast<double>(in.handshakes);
    };
    BOOST_TEST(each(locks["program"] + locks["provider-through-others"], steady) <=
               each(stock_locks["program"], stock_steady));
}
