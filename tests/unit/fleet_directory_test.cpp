// The directory engine and what else may be in its directory, or not be there.
#define BOOST_TEST_MODULE fleet_directory
#include "daemon/fleet/directory_engine.hpp"
#include "tests/fixtures/engine_contract.hpp"
#include "tests/fixtures/workspace.hpp"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <functional>
#include <unistd.h>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

namespace fs = std::filesystem;
using namespace stek;
using namespace stek::fleet;
using tests::settle;
using tests::told;
using tests::value_of;

namespace {

using Names = std::vector<std::string>;

/// What link(2) and rename(2) answer instead of doing it; 0: the system's own.
int link_fails_with = 0, rename_fails_with = 0;
bool link_answer_is_lost = false;
std::function<void()> before_link;

}  // namespace

/// Before libc's: file systems that lack something, and a network that loses an answer.
extern "C" __attribute__((visibility("default"))) int linkat(int from, const char* old_path, int to,
                                                             const char* new_path, int flags) noexcept {
    if (before_link)
        before_link();
    errno = link_fails_with;
    if (link_fails_with != 0)
        return -1;
    const auto result = static_cast<int>(::syscall(SYS_linkat, from, old_path, to, new_path, flags));
    if (!link_answer_is_lost)
        return result;
    errno = EEXIST;
    return -1;
}

extern "C" __attribute__((visibility("default"))) int renameat2(int from, const char* old_path, int to,
                                                                const char* new_path,
                                                                unsigned flags) noexcept {
    errno = rename_fails_with;
    if (rename_fails_with != 0)
        return -1;
    return static_cast<int>(::syscall(SYS_renameat2, from, old_path, to, new_path, flags));
}

namespace {

struct Fixture {
    test::Workspace workspace{"fleet-directory"};
    fs::path root = workspace.subdirectory("root"), bucket = root / "bucket";
    std::unique_ptr<Engine> engine = make_directory_engine(root);

    ~Fixture() {
        link_fails_with = rename_fails_with = 0;
        link_answer_is_lost = false;
        before_link = nullptr;
    }
    /// Those that begin with a dot, too.
    [[nodiscard]] Names files() const {
        Names names;
        for (const auto& entry : fs::directory_iterator(bucket))
            names.push_back(entry.path().filename());
        std::sort(names.begin(), names.end());
        return names;
    }
};

bool holds(const EngineError& error, const std::string& text) {
    BOOST_TEST_INFO_SCOPE(error.what());
    BOOST_TEST(std::string(error.what()).find(text) != std::string::npos);
    return true;
}

/// All that can be asked of it fails, and the error says why.
void every_call_fails(Engine& engine, const std::string& why) {
    const auto says_why = [&](const EngineError& error) { return holds(error, why); };
    BOOST_CHECK_EXCEPTION(engine.create("bucket", "new", value_of(1, 1)), EngineError, says_why);
    BOOST_CHECK_EXCEPTION(engine.put("bucket", "key", value_of(1, 1)), EngineError, says_why);
    BOOST_CHECK_EXCEPTION(engine.get("bucket", "key"), EngineError, says_why);
    BOOST_CHECK_EXCEPTION(engine.list("bucket", ""), EngineError, says_why);
    BOOST_CHECK_EXCEPTION(engine.erase("bucket", "key"), EngineError, says_why);
    BOOST_CHECK_EXCEPTION(engine.watch("bucket"), EngineError, says_why);
}

mode_t mode_of(const fs::path& path) {
    struct stat status {};
    BOOST_REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777;
}

void set_age(const fs::path& path, std::chrono::seconds age) {
    fs::last_write_time(path, fs::file_time_type::clock::now() - age);
}

void make_other_thing(const std::string& kind, const fs::path& at, const fs::path& elsewhere) {
    if (kind == "link" || kind == "dangling link") {
        const auto target = elsewhere / (kind == "link" ? "secret" : "absent");
        test::write_file(elsewhere / "secret", "secret");
        fs::create_symlink(target, at);
    } else if (kind == "directory") {
        fs::create_directory(at);
    } else if (kind == "FIFO") {
        BOOST_REQUIRE(::mkfifo(at.c_str(), 0666) == 0);
    } else {
        BOOST_REQUIRE(::mknod(at.c_str(), S_IFCHR | 0666, makedev(1, 5)) == 0);  // /dev/zero
    }
}

}  // namespace

BOOST_DATA_TEST_CASE_F(Fixture, what_is_no_file_is_no_value,
                       boost::unit_test::data::make({"link", "dangling link", "directory", "FIFO", "device"}),
                       kind) {
    engine->put("bucket", "value", value_of(1, 10));
    const auto at = bucket / "key";
    make_other_thing(kind, at, workspace.path());
    BOOST_TEST(!engine->get("bucket", "key"));
    BOOST_TEST((engine->list("bucket", "") == Names{"value"}));
    BOOST_CHECK_EXCEPTION(engine->create("bucket", "key", value_of(2, 10)), EngineError,
                          [&](const auto& error) { return holds(error, at); });
    if (kind == std::string("directory")) {
        BOOST_CHECK_EXCEPTION(engine->put("bucket", "key", value_of(2, 10)), EngineError,
                              [&](const auto& error) { return holds(error, at); });
        engine->erase("bucket", "key");
        BOOST_TEST(fs::is_directory(at));
    } else {
        engine->put("bucket", "key", value_of(2, 10));
        BOOST_TEST((engine->get("bucket", "key") == value_of(2, 10)));
        fs::remove(at);
        make_other_thing(kind, at, workspace.path());
        engine->erase("bucket", "key");
        BOOST_TEST(!fs::exists(fs::symlink_status(at)));
        BOOST_TEST((files() == Names{"value"}));
    }
    if (kind == std::string("link"))
        BOOST_TEST(test::read_file(workspace.path() / "secret") == "secret");
}

BOOST_FIXTURE_TEST_CASE(a_bucket_that_is_a_link_is_not_followed, Fixture) {
    const auto elsewhere = workspace.subdirectory("elsewhere");
    test::write_file(elsewhere / "key", "secret");
    fs::create_directory_symlink(elsewhere, bucket);
    every_call_fails(*engine, bucket);
    BOOST_TEST(test::read_file(elsewhere / "key") == "secret");
    BOOST_TEST(!fs::exists(elsewhere / "new"));
}

BOOST_FIXTURE_TEST_CASE(a_value_that_is_too_large_is_not_read, Fixture) {
    engine->put("bucket", "key", value_of(1, 1));
    fs::resize_file(bucket / "key", Engine::max_value + 1);
    BOOST_CHECK_EXCEPTION(engine->get("bucket", "key"), OversizedValue, [&](const auto& error) {
        return holds(error, "2097153 bytes, more than 2097152");
    });
}

BOOST_FIXTURE_TEST_CASE(what_has_no_keys_name_is_not_listed, Fixture) {
    engine->put("bucket", "key", value_of(1, 1));
    for (const char* name : {".hidden", ".key.Ab12Cd", "two..dots", "end.", "sp ace", "key~"})
        test::write_file(bucket / name, "x");
    BOOST_TEST((engine->list("bucket", "") == Names{"key"}));
}

BOOST_FIXTURE_TEST_CASE(modes_are_what_they_should_be_whatever_the_umask, Fixture) {
    BOOST_REQUIRE(::chmod(root.c_str(), 02750) == 0);
    const mode_t before = ::umask(077);
    engine->create("bucket", "created", value_of(1, 1));
    engine->put("bucket", "put", value_of(1, 1));
    ::umask(before);
    BOOST_TEST(mode_of(bucket) == 02750U);
    BOOST_TEST(mode_of(bucket / "created") == 0640U);
    BOOST_TEST(mode_of(bucket / "put") == 0640U);
    BOOST_TEST((files() == Names{"created", "put"}));
}

BOOST_FIXTURE_TEST_CASE(what_dead_writers_left_is_removed_in_time_and_nothing_else, Fixture) {
    using namespace std::chrono_literals;
    engine->put("bucket", "key", value_of(1, 1));
    const Names others{".hidden", ".key.Ab12Cd", "key"};
    for (const char* name : {".hidden", ".key.Ab12Cd", ".new~0123", ".new~4567", ".new~89ab"})
        test::write_file(bucket / name, "x");
    fs::create_directory(bucket / ".new~directory");
    for (const auto& name : files())
        set_age(bucket / name, 2h);
    set_age(bucket / ".new~4567", 59min);
    set_age(bucket / ".new~89ab", -2h);  // a clock that went back
    Names left = others;
    left.insert(left.end(), {".new~4567", ".new~89ab", ".new~directory"});
    std::sort(left.begin(), left.end());
    BOOST_TEST(!make_directory_engine(root)->create("bucket", "key", value_of(1, 1)));
    BOOST_TEST(files().size() == left.size() + 1);
    make_directory_engine(root)->put("bucket", "key", value_of(1, 1));
    BOOST_TEST((files() == left));
    set_age(bucket / ".new~4567", 61min);
    make_directory_engine(root)->create("bucket", "new", value_of(1, 1));
    BOOST_TEST(!fs::exists(bucket / ".new~4567"));
}

BOOST_FIXTURE_TEST_CASE(without_hard_links_the_first_wins_all_the_same, Fixture) {
    for (const int error : {EPERM, EOPNOTSUPP, ENOSYS}) {
        link_fails_with = error;
        const auto key = std::to_string(error);
        BOOST_TEST(engine->create("bucket", key, value_of(1, 10)));
        BOOST_TEST(!engine->create("bucket", key, value_of(2, 10)));
        BOOST_TEST((engine->get("bucket", key) == value_of(1, 10)));
    }
    BOOST_TEST(files().size() == 3U);
}

BOOST_DATA_TEST_CASE_F(Fixture, one_that_comes_in_between_is_not_replaced,
                       boost::unit_test::data::make({0, EPERM}), error) {
    link_fails_with = error;
    engine->put("bucket", "other", value_of(1, 10));
    before_link = [&] { fs::copy_file(bucket / "other", bucket / "key"); };
    BOOST_TEST(!engine->create("bucket", "key", value_of(2, 10)));
    BOOST_TEST((engine->get("bucket", "key") == value_of(1, 10)));
    BOOST_TEST((files() == Names{"key", "other"}));
}

BOOST_FIXTURE_TEST_CASE(without_any_way_to_be_first_there_is_no_create, Fixture) {
    link_fails_with = EPERM;
    rename_fails_with = EINVAL;
    BOOST_CHECK_EXCEPTION(engine->create("bucket", "key", value_of(1, 10)), EngineError, [&](const auto& e) {
        return holds(e, (bucket / "key").string() + ": its file system has neither hard links nor");
    });
    BOOST_TEST(files().empty());
    engine->put("bucket", "key", value_of(1, 10));
    BOOST_TEST(!engine->create("bucket", "key", value_of(2, 10)));
}

BOOST_FIXTURE_TEST_CASE(a_first_whose_answer_was_lost_is_still_the_first, Fixture) {
    link_answer_is_lost = true;
    BOOST_TEST(engine->create("bucket", "key", value_of(1, 10)));
    BOOST_TEST((files() == Names{"key"}));
    link_answer_is_lost = false;
    link_fails_with = EEXIST;
    BOOST_TEST(!engine->create("bucket", "other", value_of(1, 10)));
}

BOOST_FIXTURE_TEST_CASE(an_error_of_link_is_told_and_leaves_nothing, Fixture) {
    link_fails_with = EIO;
    BOOST_CHECK_EXCEPTION(engine->create("bucket", "key", value_of(1, 10)), EngineError, [&](const auto& e) {
        return holds(e, (bucket / "key").string() + ": Input/output error");
    });
    BOOST_TEST(files().empty());
}

BOOST_FIXTURE_TEST_CASE(a_root_that_is_not_there_is_an_error_and_can_come_back, Fixture) {
    engine->put("bucket", "key", value_of(1, 10));
    const auto aside = workspace.path() / "aside";
    fs::rename(root, aside);
    every_call_fails(*engine, root.string() + ": No such file or directory");
    test::write_file(root, "no directory");
    every_call_fails(*engine, root.string() + ": Not a directory");
    BOOST_TEST(test::read_file(root) == "no directory");
    fs::remove(root);
    fs::rename(aside, root);
    BOOST_TEST((engine->get("bucket", "key") == value_of(1, 10)));
    engine->put("bucket", "key", value_of(2, 10));
    BOOST_TEST((engine->get("bucket", "key") == value_of(2, 10)));
}

BOOST_FIXTURE_TEST_CASE(a_bucket_can_be_emptied_removed_and_replaced_while_it_is_watched, Fixture) {
    engine->put("bucket", "key", value_of(1, 10));
    const auto watch = engine->watch("bucket");
    const auto tells = [&](const char* of, const std::function<void()>& change, const Names& keys) {
        BOOST_TEST_INFO_SCOPE(of);
        settle(*watch);
        change();
        BOOST_TEST(told(*watch));
        watch->clear();
        BOOST_TEST((engine->list("bucket", "") == keys));
    };
    tells("emptied", [&] { fs::remove(bucket / "key"); }, {});
    tells("removed", [&] { fs::remove_all(bucket); }, {});
    tells("back", [&] { fs::create_directory(bucket); }, {});
    tells("used again", [&] { engine->create("bucket", "new", value_of(1, 10)); }, {"new"});
    const auto aside = root / "aside", other = root / "other";
    fs::create_directory(other);
    tells("moved away", [&] { fs::rename(bucket, aside); }, {});
    tells("replaced", [&] { fs::rename(other, bucket); }, {});
    tells("used again", [&] { engine->put("bucket", "newer", value_of(1, 10)); }, {"newer"});
    settle(*watch);
    test::write_file(aside / "key", "nobody's any more");
    BOOST_TEST(!told(*watch, 300));
}

BOOST_DATA_TEST_CASE_F(Fixture, a_watch_breaks_with_its_root_and_another_can_be_made,
                       boost::unit_test::data::make({true, false}), is_removed) {
    engine->put("bucket", "key", value_of(1, 10));
    const auto watch = engine->watch("bucket");
    settle(*watch);
    if (is_removed)
        fs::remove_all(root);
    else
        fs::rename(root, workspace.path() / "aside");
    BOOST_TEST(told(*watch));
    BOOST_CHECK_THROW(watch->clear(), EngineError);
    fs::create_directory(root);
    const auto another = engine->watch("bucket");
    settle(*another);
    engine->put("bucket", "key", value_of(1, 10));
    BOOST_TEST(told(*another));
    settle(*another);
    BOOST_TEST((engine->list("bucket", "") == Names{"key"}));
}

BOOST_FIXTURE_TEST_CASE(descriptors_do_not_pile_up, Fixture) {
    const auto open_ones = [] { return std::distance(fs::directory_iterator("/proc/self/fd"), {}); };
    const auto before = open_ones();
    for (unsigned i = 0; i < 20; ++i) {
        engine->put("bucket", "key", value_of(i, 10));
        engine->create("bucket", "key", value_of(i, 10));
        engine->get("bucket", "key");
        engine->list("bucket", "");
        engine->watch("bucket")->clear();
        engine->erase("bucket", "key");
    }
    BOOST_TEST(open_ones() == before);
}
