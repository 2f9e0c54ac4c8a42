// That a test notices what a sanitizer finds in a program that it has started.
#define BOOST_TEST_MODULE sanitizer_report
#include "tests/fixtures/child.hpp"
#include "tests/fixtures/process.hpp"
#include "tests/fixtures/workspace.hpp"

#include <csignal>
#include <cstdlib>
#include <memory>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::test;

namespace {

/// Tests that run under a sanitizer have this in their environment.
struct Sanitized {
    Sanitized() { ::setenv("ASAN_OPTIONS", "halt_on_error=1:exitcode=113", 1); }
    Workspace space{"report"};
    /// Ends so when it is told to.
    [[nodiscard]] std::unique_ptr<Process> daemon(const std::string& code) {
        const auto log = space.subdirectory("daemon") / "log";
        const auto script = "trap 'echo found something; exit " + code + "' TERM\n" +
                            "echo ready; while :; do sleep 0.1; done";
        auto started = std::make_unique<Process>(Arguments{"/bin/sh", "-c", script}, Environment{}, log);
        BOOST_REQUIRE(eventually([&] { return read_file(log) == "ready\n"; }));
        return started;
    }
};

bool tells(const SanitizerReport& report) {
    return std::string(report.what()).find("found something") != std::string::npos;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(in_a_daemon_that_is_stopped, Sanitized) {
    const auto found = daemon("113");
    BOOST_CHECK_EXCEPTION(found->stop(), SanitizerReport, tells);
    found->stop();  // told once, so that the end of the test is not another failure
    daemon("0")->stop();
    daemon("1")->stop();
}

BOOST_FIXTURE_TEST_CASE(in_a_daemon_that_nobody_stops, Sanitized) {
    daemon("1").reset();  // the test goes on
    const int status = tests::in_child([&] {
        std::signal(SIGABRT, SIG_DFL);
        const auto found = daemon("113");
        return 0;
    });
    BOOST_TEST((WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT));
}

BOOST_FIXTURE_TEST_CASE(in_a_command, Sanitized) {
    BOOST_CHECK_EXCEPTION(run({"/bin/sh", "-c", "echo found something; exit 113"}), SanitizerReport, tells);
    BOOST_TEST(run({"/bin/sh", "-c", "exit 1"}).exit_code == 1);
}

BOOST_AUTO_TEST_CASE(without_a_sanitizer_it_is_an_exit_code) {
    for (const char* name : {"ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"})
        ::unsetenv(name);
    BOOST_TEST(run({"/bin/sh", "-c", "exit 113"}).exit_code == 113);
}
