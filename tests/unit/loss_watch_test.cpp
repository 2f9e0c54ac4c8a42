// Losses in the moments between a file's being written and its being watched.
#define BOOST_TEST_MODULE loss_watch
#include "daemon/loss_watch.hpp"

#include "tests/fixtures/workspace.hpp"

#include <filesystem>
#include <fstream>

#include <boost/test/unit_test.hpp>
#include <sys/stat.h>

using namespace stek;
using namespace stek::daemon;
namespace fs = std::filesystem;

namespace {

struct Fixture {
    Fixture() { BOOST_REQUIRE(sd_event_new(&loop) >= 0); }
    Fixture(const Fixture&) = delete;
    Fixture& operator=(const Fixture&) = delete;
    ~Fixture() { sd_event_unref(loop); }

    /// As stekd writes it: aside, then renamed.
    ino_t write() const {
        std::ofstream(path + ".new") << "x";
        fs::rename(path + ".new", path);
        struct stat status {};
        BOOST_REQUIRE(::stat(path.c_str(), &status) == 0);
        return status.st_ino;
    }
    void run_all() const {
        while (sd_event_run(loop, 0) > 0) {
        }
    }
    test::Workspace workspace{"loss-watch"};
    std::string path = workspace.path() / "ring";
    sd_event* loop = nullptr;
    unsigned losses = 0;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(what_is_gone_when_the_watch_begins_is_lost, Fixture) {
    LossWatch watch(loop, [&](const std::string& lost) { losses += lost == path ? 1 : 0; });
    const ino_t inode = write();
    fs::remove(path);
    watch.watch({{path, true, inode}});
    run_all();
    BOOST_TEST(losses == 1U);
    watch.watch({{path, true, write()}});
    run_all();
    BOOST_TEST(losses == 1U);
}

BOOST_FIXTURE_TEST_CASE(what_another_has_replaced_when_the_watch_begins_is_lost, Fixture) {
    LossWatch watch(loop, [&](const std::string&) { ++losses; });
    const ino_t inode = write();
    fs::rename(path, path + ".away");
    write();
    watch.watch({{path, true, inode}});
    run_all();
    BOOST_TEST(losses == 1U);
}

// It is told what to watch once it has written the file, and that may be gone again.
BOOST_FIXTURE_TEST_CASE(what_goes_before_the_watch_knows_the_new_one_is_lost, Fixture) {
    LossWatch watch(loop, [&](const std::string&) { ++losses; });
    watch.watch({{path, true, write()}});
    run_all();
    BOOST_TEST(losses == 0U);
    const ino_t next = write();
    fs::rename(path, path + ".away");
    watch.watch({{path, true, next}});
    run_all();
    BOOST_TEST(losses == 1U);
    // Its own writes are none.
    watch.watch({{path, true, write()}});
    run_all();
    BOOST_TEST(losses == 1U);
    write();
    run_all();
    BOOST_TEST(losses == 2U);  // this one it was not told of
}

BOOST_FIXTURE_TEST_CASE(a_directory_that_is_made_anew_is_watched_anew, Fixture) {
    const std::string directory = workspace.path() / "run";
    path = directory + "/ring";
    LossWatch watch(loop, [&](const std::string&) { ++losses; });
    for (int i = 0; i < 3; ++i) {
        watch.watch({{path, true, {}}});  // there is no directory
        run_all();
        BOOST_TEST(losses == 1U);
    }
    losses = 0;
    for (unsigned round = 1; round < 3; ++round) {
        fs::create_directory(directory);
        watch.watch({{path, true, write()}});
        fs::remove_all(directory);
        run_all();
        BOOST_TEST(losses > 0U);
        losses = 0;
    }
}
