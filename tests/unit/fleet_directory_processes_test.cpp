// The directory engine among processes: several at once, killed, or without the right or the room to write.
#define BOOST_TEST_MODULE fleet_directory_processes
#include "daemon/fleet/directory_engine.hpp"
#include "tests/fixtures/child.hpp"
#include "tests/fixtures/engine_contract.hpp"
#include "tests/fixtures/shared_file.hpp"
#include "tests/fixtures/workspace.hpp"

#include <array>
#include <atomic>
#include <csignal>
#include <iostream>
#include <random>
#include <sched.h>
#include <unistd.h>

#include <boost/test/results_collector.hpp>
#include <boost/test/unit_test.hpp>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

namespace fs = std::filesystem;
using namespace stek;
using namespace stek::fleet;
using tests::settle;
using tests::told;
using tests::value_of;

namespace {

using Names = std::vector<std::string>;

struct Fixture {
    test::Workspace workspace{"fleet-processes"};
    fs::path root = workspace.subdirectory("root"), bucket = root / "bucket";
    std::unique_ptr<Engine> engine = make_directory_engine(root);
};

Names all_files_in(const fs::path& directory) {
    Names names;
    for (const auto& entry : fs::directory_iterator(directory))
        names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
}

/// Checks in a child, where what it does to its user and its mounts is its own; they are reported there, and
/// that there were failures here.
template <class Body>
void check_in_child(Body&& body) {
    namespace ut = boost::unit_test;
    const auto failures = [] {
        return ut::results_collector.results(ut::framework::current_test_case_id()).p_assertions_failed.get();
    };
    std::cout.flush();  // or the child says it again
    const int status = tests::in_child([&] {
        const auto before = failures();
        try {
            body();
        } catch (const std::exception& error) {
            BOOST_ERROR("in the child: " << error.what());
        }
        std::cout.flush();
        return failures() == before ? 0 : 1;
    });
    BOOST_TEST(status == 0);
}

void require(bool done, const char* what) {
    if (!done)
        throw std::system_error(errno, std::generic_category(), what);
}

void own_mounts() {
    require(::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0,
            "a mount namespace, which needs root");
}

template <class Call>
void fails(const Call& call, const std::string& path, const std::string& why) {
    BOOST_CHECK_EXCEPTION(call(), EngineError, [&](const EngineError& error) {
        BOOST_TEST_INFO_SCOPE(error.what());
        const std::string what = error.what();
        BOOST_TEST(what.find(path) != std::string::npos);
        BOOST_TEST(what.ends_with(": " + why));
        return true;
    });
}

constexpr unsigned rounds = 200;

struct Race {
    std::array<std::atomic<unsigned>, rounds> arrived{};
    std::array<std::array<std::atomic<int>, rounds>, 2> won{};
};

int run_race(Race& race, unsigned party, const fs::path& root) {
    const auto engine = make_directory_engine(root);
    for (unsigned round = 0; round < rounds; ++round) {
        ++race.arrived[round];
        while (race.arrived[round] < 2)
            ::sched_yield();
        try {
            const bool won = engine->create("bucket", std::to_string(round), value_of(party, 20'000));
            race.won[party][round] = won ? 1 : 2;
        } catch (const EngineError& error) {
            std::cerr << error.what() << std::endl;
            return 1;
        }
    }
    return 0;
}

pid_t start(const std::function<int()>& body) {
    const pid_t child = ::fork();
    if (child == 0)
        ::_exit(body());
    BOOST_REQUIRE(child > 0);
    return child;
}

int end_of(pid_t child) {
    int status = -1;
    BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
    return status;
}

constexpr std::size_t large = 300'000;

/// Until it is killed.
[[noreturn]] void write_on_and_on(const fs::path& root, unsigned generation) {
    const auto engine = make_directory_engine(root);
    for (std::uint32_t i = 0;; ++i) {
        engine->put("bucket", "replaced", value_of(i, large));
        engine->create("bucket", "created." + std::to_string(generation) + "." + std::to_string(i),
                       value_of(i, large));
    }
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(of_two_processes_just_one_is_first, Fixture) {
    auto& race = *tests::make_shared_file<Race>(workspace.path() / "race");
    const std::array<pid_t, 2> children{start([&] { return run_race(race, 0, root); }),
                                        start([&] { return run_race(race, 1, root); })};
    for (const auto child : children)
        BOOST_TEST(end_of(child) == 0);
    std::array<unsigned, 2> wins{};
    for (unsigned round = 0; round < rounds; ++round) {
        const bool first = race.won[0][round] == 1, second = race.won[1][round] == 1;
        BOOST_TEST(first != second);
        ++wins.at(second ? 1 : 0);
        BOOST_TEST((engine->get("bucket", std::to_string(round)) == value_of(second ? 1 : 0, 20'000)));
    }
    BOOST_TEST_MESSAGE("wins: " << wins[0] << " and " << wins[1]);
    BOOST_TEST(all_files_in(bucket).size() == rounds);  // nothing is left aside
}

BOOST_FIXTURE_TEST_CASE(a_killed_writer_leaves_whole_values_only, Fixture) {
    std::mt19937 random(4711);
    engine->put("bucket", "replaced", value_of(0, large));
    unsigned looks = 0, parts = 0;
    const auto look = [&](const std::string& key) {
        const auto value = engine->get("bucket", key);
        ++looks;
        if (!value || !tests::is_whole(*value, large))
            ++parts;
    };
    for (unsigned generation = 0; generation < rounds; ++generation) {
        const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 15'000);
        const pid_t writer = start([&]() -> int { write_on_and_on(root, generation); });
        do {
            look("replaced");
        } while (std::chrono::steady_clock::now() < until);
        ::kill(writer, SIGKILL);
        BOOST_TEST(WTERMSIG(end_of(writer)) == SIGKILL);
        for (const auto& key : engine->list("bucket", "created.")) {
            look(key);
            engine->erase("bucket", key);
        }
    }
    BOOST_TEST_MESSAGE(looks << " looks");
    BOOST_TEST(parts == 0U);
    BOOST_TEST((engine->list("bucket", "") == Names{"replaced"}));
    // Some died with a file aside, or nothing was tried.
    const auto left = all_files_in(bucket).size() - 1;
    BOOST_TEST(left > 0U);
    BOOST_TEST_MESSAGE(left << " left aside");
    for (const auto& name : all_files_in(bucket))
        fs::last_write_time(bucket / name, fs::file_time_type::clock::now() - std::chrono::hours(2));
    make_directory_engine(root)->put("bucket", "replaced", value_of(0, 1));
    BOOST_TEST((all_files_in(bucket) == Names{"replaced"}));
}

BOOST_FIXTURE_TEST_CASE(another_process_wakes_a_watch, Fixture) {
    engine->put("bucket", "key", value_of(1, 10));
    const auto watch = engine->watch("bucket");
    const auto tells = [&](const std::function<void(Engine&)>& change, const Names& keys) {
        settle(*watch);
        const int status = tests::in_child([&] {
            change(*make_directory_engine(root));
            return 0;
        });
        BOOST_TEST(status == 0);
        BOOST_TEST(told(*watch));
        watch->clear();
        BOOST_TEST((engine->list("bucket", "") == keys));
    };
    tells([](Engine& theirs) { theirs.create("bucket", "new", value_of(1, 10)); }, {"key", "new"});
    tells([](Engine& theirs) { theirs.put("bucket", "key", value_of(2, 10)); }, {"key", "new"});
    tells([](Engine& theirs) { theirs.erase("bucket", "key"); }, {"new"});
}

BOOST_FIXTURE_TEST_CASE(a_share_that_is_read_only_is_read_and_watched, Fixture) {
    engine->put("bucket", "key", value_of(1, 10));
    const auto share = workspace.subdirectory("share");
    check_in_child([&] {
        own_mounts();
        require(::mount(root.c_str(), share.c_str(), nullptr, MS_BIND, nullptr) == 0, "a bind mount");
        require(::mount(nullptr, share.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) == 0,
                "a read-only one");
        const auto reader = make_directory_engine(share);
        const std::string why = "Read-only file system";
        fails([&] { reader->create("bucket", "new", value_of(2, 10)); }, share / "bucket", why);
        fails([&] { reader->put("bucket", "key", value_of(2, 10)); }, share / "bucket", why);
        fails([&] { reader->erase("bucket", "key"); }, share / "bucket/key", why);
        fails([&] { reader->create("other", "new", value_of(2, 10)); }, share / "other", why);
        BOOST_TEST(!reader->create("bucket", "key", value_of(2, 10)));
        BOOST_TEST((reader->get("bucket", "key") == value_of(1, 10)));
        BOOST_TEST((reader->list("bucket", "") == Names{"key"}));

        const auto watch = reader->watch("other");
        settle(*watch);
        BOOST_TEST(reader->list("other", "").empty());
        engine->create("other", "new", value_of(1, 10));
        BOOST_TEST(told(*watch));
        settle(*watch);
        BOOST_TEST((reader->list("other", "") == Names{"new"}));
        engine->put("other", "new", value_of(2, 10));
        BOOST_TEST(told(*watch));
    });
    BOOST_TEST((all_files_in(bucket) == Names{"key"}));
}

BOOST_FIXTURE_TEST_CASE(what_is_forbidden_is_told, Fixture) {
    engine->put("bucket", "key", value_of(1, 10));
    check_in_child([&] {
        constexpr uid_t nobody = 65534;
        require(::geteuid() != 0 || (::setgid(nobody) == 0 && ::setuid(nobody) == 0), "setuid to nobody");
        const std::string why = "Permission denied";
        fails([&] { engine->get("bucket", "key"); }, bucket, why);
        fails([&] { engine->list("bucket", ""); }, bucket, why);
        fails([&] { engine->put("bucket", "key", value_of(1, 10)); }, bucket, why);
        fails([&] { engine->erase("bucket", "key"); }, bucket, why);
        fails([&] { engine->create("other", "key", value_of(1, 10)); }, root / "other", why);
        fails([&] { engine->watch("bucket"); }, bucket, why);
        BOOST_TEST(engine->list("other", "").empty());
    });
    fs::permissions(bucket, fs::perms(0755));
    check_in_child([&] {
        constexpr uid_t nobody = 65534;
        require(::geteuid() != 0 || (::setgid(nobody) == 0 && ::setuid(nobody) == 0), "setuid to nobody");
        fails([&] { engine->get("bucket", "key"); }, bucket / "key", "Permission denied");
        fails([&] { engine->put("bucket", "key", value_of(1, 10)); }, bucket, "Permission denied");
        fails([&] { engine->erase("bucket", "key"); }, bucket / "key", "Permission denied");
        BOOST_TEST((engine->list("bucket", "") == Names{"key"}));
    });
}

BOOST_FIXTURE_TEST_CASE(a_full_disk_is_told_and_leaves_what_was_there, Fixture) {
    check_in_child([&] {
        own_mounts();
        require(::mount("small", root.c_str(), "tmpfs", 0, "mode=0755,size=64k") == 0, "a tmpfs");
        const std::string why = "No space left on device";
        engine->put("bucket", "key", value_of(1, 10'000));
        fails([&] { engine->put("bucket", "key", value_of(2, 100'000)); }, bucket, why);
        fails([&] { engine->create("bucket", "new", value_of(2, 100'000)); }, bucket, why);
        BOOST_TEST((all_files_in(bucket) == Names{"key"}));
        unsigned stored = 0;
        fails(
            [&] {
                for (; stored < 100; ++stored)
                    engine->put("bucket", std::to_string(stored), value_of(stored, 4096));
            },
            bucket, why);
        BOOST_TEST(stored > 0U);
        fails([&] { engine->put("bucket", "key", value_of(2, 10'000)); }, bucket, why);
        BOOST_TEST((engine->get("bucket", "key") == value_of(1, 10'000)));
        BOOST_TEST(all_files_in(bucket).size() == stored + 1);
        for (unsigned i = 0; i < stored; ++i)
            engine->erase("bucket", std::to_string(i));
        engine->put("bucket", "key", value_of(2, 10'000));
        BOOST_TEST((engine->get("bucket", "key") == value_of(2, 10'000)));
        ::umount2(root.c_str(), MNT_DETACH);
    });
}

BOOST_FIXTURE_TEST_CASE(a_disk_full_of_what_dead_writers_left_is_made_free, Fixture) {
    check_in_child([&] {
        own_mounts();
        require(::mount("small", root.c_str(), "tmpfs", 0, "mode=0755,size=64k") == 0, "a tmpfs");
        fs::create_directory(bucket);
        test::write_file(bucket / ".new~dead", std::string(60'000, 'x'));
        fs::last_write_time(bucket / ".new~dead", fs::file_time_type::clock::now() - std::chrono::hours(2));
        engine->put("bucket", "key", value_of(1, 50'000));
        BOOST_TEST((all_files_in(bucket) == Names{"key"}));
        ::umount2(root.c_str(), MNT_DETACH);
    });
}

// As one that grows while it is read: stat(2) says 0 bytes of a file in /proc, and there are more.
BOOST_FIXTURE_TEST_CASE(a_file_is_read_to_its_end_whatever_its_size_was, Fixture) {
    engine->put("bucket", "key", value_of(1, 0));
    check_in_child([&] {
        own_mounts();
        require(::mount("/proc/version", (bucket / "key").c_str(), nullptr, MS_BIND, nullptr) == 0,
                "a bind mount");
        const auto expected = test::read_file("/proc/version");
        const auto value = engine->get("bucket", "key");
        BOOST_TEST((value && std::string(value->begin(), value->end()) == expected));
        BOOST_TEST(expected.size() > 10U);
        ::umount2((bucket / "key").c_str(), MNT_DETACH);
    });
}
