// Counter files: counted by processes that live, die and fork, collected from a directory that holds
// anything.
#define BOOST_TEST_MODULE counters
#include "provider/counters.hpp"

#include "tests/fixtures/child.hpp"
#include "tests/fixtures/journal_catcher.hpp"
#include "tests/fixtures/workspace.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <set>
#include <system_error>
#include <thread>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

using namespace stek;

namespace {

constexpr std::uintmax_t file_size = 240;
constexpr std::size_t file_size_of_version_1 = 232;
constexpr std::size_t version_at = 8;  // its low byte, on a little-endian machine

struct Fixture {
    test::Workspace workspace{"counters"};
    std::string directory = workspace.path();

    std::set<std::string> files() {
        std::set<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(directory))
            names.insert(entry.path().filename());
        return names;
    }
    /// The one file there is.
    std::string file() {
        BOOST_REQUIRE(files().size() == 1U);
        return directory + "/" + *files().begin();
    }
};

/// Runs in a child of its own, to its end.
void in_child(const std::function<void()>& work) {
    const int status = tests::in_child([&] {
        work();
        return 0;
    });
    BOOST_REQUIRE(status == 0);
}

std::uint64_t sum(const std::vector<std::uint64_t>& values) {
    return std::accumulate(values.begin(), values.end(), std::uint64_t{0});
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(each_event_has_its_counter, Fixture) {
    Counters counters(directory);
    BOOST_TEST(files().empty());  // made when first used
    counters.sealed();
    counters.opened();
    counters.opened();
    for (unsigned i = 0; i < 3; ++i)
        counters.renewed();
    for (unsigned i = 0; i < 4; ++i)
        counters.token_error();
    for (unsigned why = 0; why < static_cast<unsigned>(Decline::count_); ++why)
        for (unsigned i = 0; i <= why; ++i)
            counters.declined(static_cast<Decline>(why));
    counters.declined(Decline::count_);  // not a reason: counted nowhere

    const CounterTotals totals = collect_counters(directory, false);
    BOOST_TEST(totals.sealed == 1U);
    BOOST_TEST(totals.opened == 2U);
    BOOST_TEST(totals.renewed == 3U);
    BOOST_TEST(totals.token_errors == 4U);
    BOOST_TEST(totals.processes == 1U);
    BOOST_REQUIRE(totals.declined.size() == static_cast<std::size_t>(Decline::count_));
    for (std::size_t why = 0; why < totals.declined.size(); ++why)
        BOOST_TEST(totals.declined[why] == why + 1);
    BOOST_TEST(sum(totals.latency) == 0U);
}

// The directory comes and goes with stekd.
BOOST_FIXTURE_TEST_CASE(a_directory_that_comes_later_is_told_once_and_used_then, Fixture) {
    tests::JournalCatcher journal(workspace.path());
    directory += "/live";
    Counters counters(directory);
    for (int i = 0; i < 3; ++i) {
        counters.sealed();
        counters.look_for_file();
    }
    BOOST_TEST(journal.says("is not counted: no file can be made in " + directory + ": No such file"));
    BOOST_TEST(journal.entries().size() == 1U);
    std::filesystem::create_directory(directory);
    counters.look_for_file();
    counters.sealed();
    BOOST_TEST(collect_counters(directory, false).sealed == 1U);
    counters.look_for_file();
    counters.sealed();
    BOOST_TEST(collect_counters(directory, false).sealed == 2U);
    std::filesystem::remove_all(directory);
    std::filesystem::create_directory(directory);
    counters.look_for_file();
    counters.sealed();
    BOOST_TEST(collect_counters(directory, false).sealed == 1U);
    BOOST_TEST(journal.entries().size() == 1U);
}

BOOST_FIXTURE_TEST_CASE(latencies_fall_into_their_buckets, Fixture) {
    Counters counters(directory);
    for (const std::uint64_t bound : latency_bounds_us) {
        counters.latency(bound * 1000);
        counters.latency(bound * 1000 + 1);
    }
    counters.latency(0);
    const auto latency = collect_counters(directory, false).latency;
    const std::vector<std::uint64_t> expected = {2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1};
    BOOST_TEST(latency == expected, boost::test_tools::per_element());
    std::uint64_t sum_ns = 0;
    for (const std::uint64_t bound : latency_bounds_us)
        sum_ns += 2 * bound * 1000 + 1;
    BOOST_TEST(collect_counters(directory, false).latency_sum_ns == sum_ns);
    counters.latency(UINT64_MAX);
    BOOST_TEST(collect_counters(directory, false).latency.back() == 2U);
}

BOOST_AUTO_TEST_CASE(reasons_have_names_of_their_own) {
    std::set<std::string> names;
    for (unsigned why = 0; why < static_cast<unsigned>(Decline::count_); ++why)
        names.insert(decline_name(static_cast<Decline>(why)));
    BOOST_TEST(names.size() == static_cast<std::size_t>(Decline::count_));
    BOOST_TEST(names.count("unknown") == 0U);
}

BOOST_FIXTURE_TEST_CASE(the_file_is_named_by_process_and_start_and_kept_from_others, Fixture) {
    const mode_t umask_before = ::umask(0);
    Counters counters(directory);
    counters.sealed();
    ::umask(umask_before);
    const std::string name = std::filesystem::path(file()).filename();
    BOOST_TEST(name.starts_with(std::to_string(::getpid()) + "."));
    BOOST_TEST(name.substr(name.find('.') + 1) != "0");
    struct stat status {};
    BOOST_REQUIRE(::stat(file().c_str(), &status) == 0);
    BOOST_TEST((status.st_mode & 07777) == 0640U);
    BOOST_TEST(std::filesystem::file_size(file()) == file_size);
}

BOOST_FIXTURE_TEST_CASE(two_in_one_process_share_its_file, Fixture) {
    Counters one(directory);
    Counters two(directory);
    one.sealed();
    two.sealed();
    BOOST_TEST(files().size() == 1U);
    const CounterTotals totals = collect_counters(directory, true);
    BOOST_TEST(totals.sealed == 2U);
    BOOST_TEST(totals.processes == 1U);
}

BOOST_FIXTURE_TEST_CASE(threads_lose_nothing, Fixture) {
    Counters counters(directory);
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (unsigned i = 0; i < 10'000; ++i) {
                counters.sealed();
                counters.declined(Decline::foreign);
                counters.latency(i);
            }
        });
    }
    threads.clear();
    const CounterTotals totals = collect_counters(directory, false);
    BOOST_TEST(totals.sealed == 40'000U);
    BOOST_TEST(sum(totals.declined) == 40'000U);
    BOOST_TEST(sum(totals.latency) == 40'000U);
    BOOST_TEST(totals.processes == 1U);
}

BOOST_FIXTURE_TEST_CASE(a_forked_child_counts_in_its_own_file, Fixture) {
    Counters counters(directory);
    counters.sealed();
    in_child([&] {
        Counters own(directory);
        own.sealed();
        own.opened();
    });
    counters.sealed();
    BOOST_TEST(files().size() == 2U);
    const CounterTotals totals = collect_counters(directory, false);
    BOOST_TEST(totals.sealed == 3U);
    BOOST_TEST(totals.opened == 1U);
    BOOST_TEST(totals.processes == 1U);
}

BOOST_FIXTURE_TEST_CASE(a_child_that_makes_none_of_its_own_counts_in_its_parents, Fixture) {
    Counters counters(directory);
    counters.sealed();
    in_child([&] { counters.sealed(); });
    BOOST_TEST(files().size() == 1U);
    BOOST_TEST(collect_counters(directory, false).sealed == 2U);
}

// As in a unit with LimitFSIZE=0: to write would be the end of the process.
BOOST_FIXTURE_TEST_CASE(where_no_file_may_be_written_it_counts_in_private, Fixture) {
    in_child([&] {
        const rlimit nothing{};
        ::setrlimit(RLIMIT_FSIZE, &nothing);
        Counters counters(directory);
        counters.sealed();
    });
    BOOST_TEST(files().empty());
}

BOOST_FIXTURE_TEST_CASE(the_dead_are_folded_and_stay_counted, Fixture) {
    for (unsigned round = 1; round <= 3; ++round) {
        for (unsigned i = 0; i < 5; ++i) {
            in_child([&] {
                Counters counters(directory);
                counters.sealed();
                counters.declined(Decline::malformed);
                counters.latency(7000);
            });
        }
        BOOST_TEST(files().size() >= 5U);
        const CounterTotals unfolded = collect_counters(directory, false);
        BOOST_TEST(unfolded.sealed == 5U * round);
        BOOST_TEST(unfolded.processes == 0U);
        BOOST_TEST(collect_counters(directory, true).sealed == 5U * round);
        BOOST_TEST((files() == std::set<std::string>{"retired"}));
        const CounterTotals folded = collect_counters(directory, true);
        BOOST_TEST(folded.sealed == 5U * round);
        BOOST_TEST(folded.declined[static_cast<std::size_t>(Decline::malformed)] == 5U * round);
        BOOST_TEST(folded.latency[1] == 5U * round);
    }
}

// As many as processes may die between two folds, and few descriptors.
BOOST_FIXTURE_TEST_CASE(more_dead_than_descriptors_are_folded, Fixture) {
    constexpr unsigned processes = 700;
    in_child([&] {
        Counters counters(directory);
        counters.sealed();
    });
    const std::string model = file();
    for (unsigned i = 1; i < processes; ++i)
        std::filesystem::copy_file(model, directory + "/" + std::to_string(5'000'000 + i) + ".1");
    in_child([&] {
        const rlimit few{300, 300};
        ::setrlimit(RLIMIT_NOFILE, &few);
        collect_counters(directory, true);
    });
    BOOST_TEST((files() == std::set<std::string>{"retired"}));
    BOOST_TEST(collect_counters(directory, true).sealed == processes);
}

// The living keep their files through every fold, whoever they are to the collector: it asks the lock on the
// file, not a process list that a container or ProtectProc= would hide from it.
BOOST_FIXTURE_TEST_CASE(the_living_are_not_folded, Fixture) {
    Counters counters(directory);
    counters.sealed();
    const std::string own = file();
    for (unsigned i = 0; i < 10; ++i) {
        counters.sealed();
        const CounterTotals totals = collect_counters(directory, true);
        BOOST_TEST(totals.sealed == 2U + i);
        BOOST_TEST(totals.processes == 1U);
    }
    BOOST_TEST(file() == own);
}

BOOST_FIXTURE_TEST_CASE(a_killed_process_is_folded_like_one_that_left, Fixture) {
    int ready[2];
    BOOST_REQUIRE(::pipe(ready) == 0);
    const pid_t child = ::fork();
    BOOST_REQUIRE(child >= 0);
    if (child == 0) {
        Counters counters(directory);
        counters.sealed();
        if (::write(ready[1], "x", 1) == 1)
            ::pause();
        ::_exit(1);
    }
    char byte = 0;
    BOOST_REQUIRE(::read(ready[0], &byte, 1) == 1);
    ::close(ready[0]);
    ::close(ready[1]);
    BOOST_TEST(collect_counters(directory, true).processes == 1U);
    BOOST_REQUIRE(::kill(child, SIGKILL) == 0);
    BOOST_REQUIRE(::waitpid(child, nullptr, 0) == child);
    const CounterTotals totals = collect_counters(directory, true);
    BOOST_TEST(totals.sealed == 1U);
    BOOST_TEST(totals.processes == 0U);
    BOOST_TEST((files() == std::set<std::string>{"retired"}));
}

// A process number used again: the dead one's file has the same number before the dot.
BOOST_FIXTURE_TEST_CASE(a_reused_process_id_is_another_process, Fixture) {
    in_child([&] {
        Counters counters(directory);
        counters.sealed();
    });
    std::filesystem::rename(file(), directory + "/" + std::to_string(::getpid()) + ".1");
    Counters counters(directory);
    counters.sealed();
    BOOST_TEST(files().size() == 2U);
    const CounterTotals totals = collect_counters(directory, true);
    BOOST_TEST(totals.sealed == 2U);
    BOOST_TEST(totals.processes == 1U);
    BOOST_TEST(files().size() == 2U);  // ours and retired
    BOOST_TEST(files().count("retired") == 1U);
}

BOOST_FIXTURE_TEST_CASE(noise_in_the_directory_is_passed_over_and_left_alone, Fixture) {
    Counters counters(directory);
    counters.sealed();
    const std::string good = test::read_file(file());
    BOOST_REQUIRE(good.size() == file_size);
    const std::string secret = workspace.path().parent_path() / (workspace.path().filename().string() + ".x");
    test::write_file(secret, good);

    std::set<std::string> names = files();
    const auto put = [&](const std::string& name, const std::string& bytes) {
        test::write_file(directory + "/" + name, bytes);
        names.insert(name);
    };
    put("1.1", "");
    put("1.2", std::string(file_size, '\0'));
    put("1.3", std::string(file_size, 'x'));
    put("1.4", good.substr(0, file_size - 1));
    put("1.5", good + "x");
    put("1.6", std::string(5'000'000, 'y'));
    std::string future = good;
    future[version_at] = 3;
    put("1.7", future);
    std::string mislabelled = good;  // each version has its size
    mislabelled[version_at] = 1;
    put("1.8", mislabelled);
    put("1.9", good.substr(0, file_size_of_version_1));
    for (const char* name : {"12", ".1", "1.", "a.1", "1.a", "-1.1", "1.1.1", "readme", "retired.new"})
        put(name, good);
    for (const auto& [name, target] :
         {std::pair{"2.1", secret}, {"2.2", std::string("/dev/zero")}, {"2.3", std::string("nowhere")}}) {
        std::filesystem::create_symlink(target, directory + "/" + name);
        names.insert(name);
    }
    std::filesystem::create_directory(directory + "/3.1");
    names.insert("3.1");
    BOOST_REQUIRE(::mkfifo((directory + "/3.2").c_str(), 0600) == 0);
    names.insert("3.2");

    const CounterTotals totals = collect_counters(directory, true);
    BOOST_TEST(totals.sealed == 1U);
    BOOST_TEST(totals.processes == 1U);
    BOOST_TEST((files() == names));
    std::filesystem::remove(secret);
}

// A server that has run since before the sum of latencies was counted, and the dead of that time.
BOOST_FIXTURE_TEST_CASE(files_of_version_1_count_but_for_their_latencies, Fixture) {
    Counters counters(directory);
    counters.sealed();
    counters.declined(Decline::foreign);
    counters.latency(7000);
    std::string old = test::read_file(file()).substr(0, file_size_of_version_1);
    old[version_at] = 1;
    for (const char* name : {"1.1", "2.2", "retired"})
        test::write_file(directory + "/" + name, old);
    for (const bool fold : {false, true, true}) {
        const CounterTotals totals = collect_counters(directory, fold);
        BOOST_TEST(totals.sealed == 4U);
        BOOST_TEST(totals.declined[static_cast<std::size_t>(Decline::foreign)] == 4U);
        BOOST_TEST(sum(totals.latency) == 1U);
        BOOST_TEST(totals.latency_sum_ns == 7000U);
    }
    BOOST_TEST(std::filesystem::file_size(directory + "/retired") == file_size);
}

BOOST_FIXTURE_TEST_CASE(a_spoilt_sum_of_the_dead_is_begun_anew, Fixture) {
    test::write_file(directory + "/retired", "noise");
    in_child([&] {
        Counters counters(directory);
        counters.sealed();
    });
    BOOST_TEST(collect_counters(directory, true).sealed == 1U);
    BOOST_TEST(collect_counters(directory, true).sealed == 1U);
    BOOST_TEST((files() == std::set<std::string>{"retired"}));
}

// Where the sum cannot be written the dead keep their files, and count.
BOOST_FIXTURE_TEST_CASE(a_fold_that_fails_loses_nothing, Fixture) {
    in_child([&] {
        Counters counters(directory);
        counters.sealed();
    });
    std::filesystem::create_directories(directory + "/retired.new/in the way");
    for (unsigned i = 0; i < 3; ++i)
        BOOST_TEST(collect_counters(directory, true).sealed == 1U);
    std::filesystem::remove_all(directory + "/retired.new");
    BOOST_TEST(collect_counters(directory, true).sealed == 1U);
    BOOST_TEST((files() == std::set<std::string>{"retired"}));
}

BOOST_FIXTURE_TEST_CASE(without_a_directory_it_counts_in_private, Fixture) {
    const auto count_all = [](const std::string& where) {
        Counters counters(where);
        counters.sealed();
        counters.declined(Decline::foreign);
        counters.latency(1);
        counters.sealed();
    };
    count_all("");
    count_all(directory + "/absent");
    count_all("/proc");
    count_all("/dev/null");
    BOOST_TEST(files().empty());
    BOOST_CHECK_THROW(collect_counters(directory + "/absent", false), std::system_error);
    BOOST_CHECK_THROW(collect_counters("/dev/null", false), std::system_error);
    BOOST_TEST(collect_counters(directory, true).processes == 0U);
    BOOST_TEST(files().empty());
}

// What lies where our file should be is another's doing: not followed, not used, not changed.
BOOST_FIXTURE_TEST_CASE(what_is_in_the_way_is_not_touched, Fixture) {
    std::string own;
    {
        Counters counters(directory);
        counters.sealed();
        own = file();
    }
    const std::string victim = directory + "/victim";
    const auto unharmed = [&](const std::string& bytes) {
        Counters counters(directory);
        counters.sealed();
        counters.opened();
        BOOST_TEST(test::read_file(victim) == bytes);
    };
    std::filesystem::remove(own);
    test::write_file(victim, "");
    std::filesystem::create_symlink(victim, own);
    unharmed("");
    std::filesystem::remove(own);
    test::write_file(victim, std::string(file_size, '\0'));
    std::filesystem::create_hard_link(victim, own);
    unharmed(std::string(file_size, '\0'));
    std::filesystem::remove(own);
    test::write_file(victim, "not a counter file");
    std::filesystem::rename(victim, own);
    std::filesystem::create_symlink(own, victim);
    unharmed("not a counter file");
    std::filesystem::remove(own);
    std::filesystem::create_directory(own);
    Counters counters(directory);
    counters.sealed();
    BOOST_TEST(std::filesystem::is_directory(own));
}

// A hole in a full tmpfs would be SIGBUS in a server at the first count.
BOOST_FIXTURE_TEST_CASE(a_full_disk_gives_private_memory, Fixture) {
    in_child([&] {
        std::signal(SIGXFSZ, SIG_IGN);
        const rlimit none{0, 0};
        if (::setrlimit(RLIMIT_FSIZE, &none) != 0)
            ::_exit(2);
        Counters counters(directory);
        counters.sealed();
    });
    BOOST_TEST(files().empty());
}
