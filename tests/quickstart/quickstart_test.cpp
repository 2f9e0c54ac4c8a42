// units/quickstart as it is run by somebody who has just cloned the tree: builds, installs under a prefix,
// and shows. Short epochs; a directory of the test's own.
#define BOOST_TEST_MODULE quickstart
#include "tests/token/stekd_instance.hpp"

#include <algorithm>
#include <cstdlib>
#include <regex>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

namespace fs = std::filesystem;
using namespace stek::test;
using std::chrono::minutes;

namespace {

// One for all cases: the build is set to it, and would be made anew for another.
struct Prefix {
    Prefix() : space("prefix") { instance = this; }
    ~Prefix() { instance = nullptr; }
    Workspace space;
    static inline Prefix* instance = nullptr;
};

// What tests/run compiled already, quickstart need not: the cache that it names.
Environment compiler_cache() {
    Environment result;
    for (const char* name : {"CCACHE_DIR", "CCACHE_NOHASHDIR", "CCACHE_IGNOREOPTIONS", "CCACHE_SLOPPINESS"})
        if (const char* value = std::getenv(name))
            result[name] = value;
    return result;
}

struct Show {
    Show() : space("show"), dir(space.path() / "instance") {}
    ~Show() {
        if (!fs::exists(dir))
            return;
        Process stop(command({"--stop"}), {}, space.path() / "stop");  // a case failed
        stop.wait(minutes(1));
    }
    [[nodiscard]] Arguments command(const Arguments& more) const {
        Arguments all{STEK_QUICKSTART, "--prefix", Prefix::instance->space.path() / "usr", "--dir", dir};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
    /// To its end, which may be that of a whole build.
    [[nodiscard]] Outcome quickstart(const Arguments& more) const {
        const auto log = space.path() / "log";
        fs::remove(log);
        Process process(command(more), compiler_cache(), log);
        BOOST_REQUIRE(process.wait(minutes(15)));
        return {process.exit_code(), read_file(log)};
    }
    [[nodiscard]] pid_t pid_of(const std::string& name) const {
        return static_cast<pid_t>(std::stol(read_file(dir / "quickstart" / (name + ".pid"))));
    }
    Workspace space;
    fs::path dir;
};

void expect_every_sight(const Outcome& show) {
    BOOST_TEST(show.exit_code == 0, show.output);
    for (const std::string tls : {"1\\.2", "1\\.3"})
        for (const std::string sight :
             {"full handshake, ticket under key [0-9a-f]{32}", "resumed; the ticket was from worker [0-9]+",
              "resumed with key [0-9a-f]{32}, renewed under key [0-9a-f]{32}",
              "key [0-9a-f]{32} is gone: full handshake, new ticket under key [0-9a-f]{32}",
              "which is resumed"})
            BOOST_TEST(std::regex_search(show.output,
                                         std::regex("\nTLS " + tls + "  worker [0-9]+ +" + sight + "\n")),
                       sight << " in " << show.output);
    BOOST_TEST(show.output.find("== All of it was seen.") != std::string::npos, show.output);
}

void expect_failure(const Outcome& outcome, const std::string& text) {
    BOOST_TEST(outcome.exit_code == 1, outcome.output);
    BOOST_TEST(outcome.output.find(text) != std::string::npos, outcome.output);
}

std::string mark_of(const fs::path& dir) {
    return dir / ".made-by-stekd-quickstart";
}

}  // namespace

BOOST_TEST_GLOBAL_FIXTURE(Prefix);

BOOST_FIXTURE_TEST_CASE(the_show_ends_well_and_leaves_nothing, Show) {
    expect_every_sight(quickstart({"--period", "3"}));
    BOOST_TEST(!fs::exists(dir));
    BOOST_TEST(fs::exists(Prefix::instance->space.path() / "usr/sbin/stekd"));
}

BOOST_FIXTURE_TEST_CASE(kept_run_again_and_stopped_beside_another_stekd, Show) {
    StekdInstance other;
    other.start();
    BOOST_REQUIRE(eventually([&] { return other.ring() != nullptr; }, minutes(1)));
    const auto others_files = read_file(other.config());

    const auto kept = quickstart({"--period", "3", "--keep"});
    expect_every_sight(kept);
    for (const std::string& line :
         {"OPENSSL_CONF=" + (dir / "openssl.cnf").string(), "STEKD_CONFIG=" + (dir / "stekd.toml").string(),
          "status --config " + (dir / "stekd.toml").string(), "quickstart --stop --dir " + dir.string()})
        BOOST_TEST(kept.output.find(line + "\n") != std::string::npos, line);
    const pid_t stekd = pid_of("stekd"), nginx = pid_of("nginx");
    BOOST_TEST((alive(stekd) && alive(nginx)));
    const auto providers = run({"openssl", "list", "-providers"}, {{"OPENSSL_CONF", dir / "openssl.cnf"}});
    BOOST_TEST(providers.output.find("session ticket keys in a PKCS#11 token") != std::string::npos,
               providers.output);

    const auto again = quickstart({});
    expect_every_sight(again);
    BOOST_TEST(again.output.find("runs already") != std::string::npos, again.output);
    BOOST_TEST((pid_of("stekd") == stekd && pid_of("nginx") == nginx));
    BOOST_TEST((alive(stekd) && alive(nginx)));

    const auto stopped = quickstart({"--stop"});
    BOOST_TEST(stopped.exit_code == 0, stopped.output);
    BOOST_TEST(stopped.output == "stopped; " + dir.string() + " is gone\n");
    BOOST_TEST((!alive(stekd) && !alive(nginx) && !fs::exists(dir)));
    const auto nothing = quickstart({"--stop"});
    BOOST_TEST(nothing.exit_code == 0, nothing.output);
    BOOST_TEST(!fs::exists(dir));

    BOOST_TEST(other.daemon->running());
    BOOST_TEST(read_file(other.config()) == others_files);
    BOOST_TEST(other.ring() != nullptr);
}

BOOST_FIXTURE_TEST_CASE(a_sight_that_fails_fails_the_show, Show) {
    const auto log = space.path() / "failing";
    Process process(command({"--period", "3"}), compiler_cache(), log);
    BOOST_REQUIRE(
        eventually([&] { return read_file(log).find("\n== 3. ") != std::string::npos || !process.running(); },
                   minutes(15)));
    const pid_t stekd = pid_of("stekd");
    stop_pid(pid_of("nginx"), SIGTERM);
    BOOST_REQUIRE(process.wait(minutes(2)));
    expect_failure({process.exit_code(), read_file(log)}, "no connection");
    BOOST_TEST(read_file(log).find("quickstart failed") != std::string::npos);
    BOOST_TEST((!alive(stekd) && !fs::exists(dir)));
}

BOOST_FIXTURE_TEST_CASE(the_show_of_a_fleet, Show) {
    const auto show = quickstart({"--fleet", "--period", "4", "--keep"});
    BOOST_TEST(show.exit_code == 0, show.output);
    const auto count = [&](const std::string& sight) {
        const std::regex expression(sight);
        return std::distance(std::sregex_iterator(show.output.begin(), show.output.end(), expression),
                             std::sregex_iterator());
    };
    // Before and after what was killed: from two machines of each location, by two versions of TLS.
    const std::string here = "( resumed ){2}", else_where = "( full    ){4}";
    BOOST_TEST(count("\nfra1-m[12]   TLS 1\\.[23] " + here + else_where + "(?=\n)") == 8, show.output);
    BOOST_TEST(count("\nams1-m[12]   TLS 1\\.[23] ( full    ){2}" + here + "( full    ){2}(?=\n)") == 8);
    BOOST_TEST(count("\nnyc1-m[12]   TLS 1\\.[23] " + else_where + here + "(?=\n)") == 8);
    BOOST_TEST(count("\n[0-9]+ s: [0-9]+ connections, [1-9][0-9]* of them resumed, 0 failed\n") == 2);
    BOOST_TEST(count("\nn[123], which leads, is killed, in a rotation\n") == 1);
    BOOST_TEST(count("\no1 is killed, in a rotation\n") == 1);
    BOOST_TEST(show.output.find("== All of it was seen.") != std::string::npos);

    std::vector<pid_t> pids;
    for (const auto& file : fs::directory_iterator(dir / "quickstart"))
        if (file.path().extension() == ".pid" && file.path().stem() != "load")
            pids.push_back(pid_of(file.path().stem()));
    BOOST_TEST(pids.size() == 3U + 11U + 6U);
    BOOST_TEST(std::ranges::all_of(pids, alive));
    const auto stopped = quickstart({"--fleet", "--stop"});
    BOOST_TEST(stopped.exit_code == 0, stopped.output);
    BOOST_TEST(std::ranges::none_of(pids, alive));
    BOOST_TEST(!fs::exists(dir));
}

BOOST_FIXTURE_TEST_CASE(a_machine_that_fails_fails_the_show_of_a_fleet, Show) {
    const auto log = space.path() / "failing";
    Process process(command({"--fleet", "--period", "4"}), compiler_cache(), log);
    BOOST_REQUIRE(
        eventually([&] { return read_file(log).find("\n== 2. ") != std::string::npos || !process.running(); },
                   minutes(15)));
    stop_pid(pid_of("stekd-ams1-m2"), SIGKILL);
    BOOST_REQUIRE(process.wait(minutes(4)));
    expect_failure({process.exit_code(), read_file(log)}, "stekd of ams1-m2 ended");
    BOOST_TEST(!fs::exists(dir));
}

BOOST_FIXTURE_TEST_CASE(a_directory_that_it_did_not_make_is_refused, Show) {
    const auto theirs = space.path() / "theirs";
    const auto refused = [&](const std::string& why) {
        for (const auto& more : {Arguments{"--stop"}, Arguments{"--period", "3"}}) {
            BOOST_TEST_CONTEXT(why)
            expect_failure(quickstart(more), "was not made by quickstart");
        }
    };
    const auto real = dir;
    dir = theirs;
    fs::create_directories(theirs);
    refused("empty");
    fs::create_directories(theirs / "quickstart");
    write_file(theirs / "tokens", "theirs");
    write_file(theirs / "quickstart/file", "theirs");
    refused("a subdirectory of our name");
    write_file(mark_of(theirs), "");
    refused("a mark of other content");
    dir = space.path() / "link";
    fs::create_directory_symlink(theirs, dir);
    refused("a link");
    BOOST_TEST(read_file(theirs / "tokens") == "theirs");
    BOOST_TEST(read_file(theirs / "quickstart/file") == "theirs");
    fs::remove(dir);
    dir = real;
}

BOOST_FIXTURE_TEST_CASE(only_what_it_made_is_removed, Show) {
    // As it is after a run that was killed at once.
    fs::create_directories(dir / "quickstart");
    fs::create_directories(dir / "tokens/x");
    write_file(mark_of(dir), "units/quickstart of stekd made this directory, and removes it.\n");
    write_file(dir / "theirs", "theirs");
    BOOST_REQUIRE(::chown(mark_of(dir).c_str(), 65534, 65534) == 0);
    expect_failure(quickstart({"--stop"}), "was not made by quickstart");
    BOOST_TEST(fs::exists(dir / "tokens/x"));
    BOOST_REQUIRE(::chown(mark_of(dir).c_str(), 0, 0) == 0);
    expect_failure(quickstart({"--stop"}), "holds something that quickstart did not make");
    BOOST_TEST(!fs::exists(dir / "tokens"));
    BOOST_TEST(read_file(dir / "theirs") == "theirs");
    fs::remove_all(dir);
}
