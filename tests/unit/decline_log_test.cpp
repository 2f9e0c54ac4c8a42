// When declines are told to the journal, on a clock of the test's own.
#define BOOST_TEST_MODULE decline_log
#include "provider/decline_log.hpp"

#include "tests/fixtures/journal_catcher.hpp"
#include "tests/fixtures/workspace.hpp"

#include <algorithm>
#include <thread>
#include <vector>

#include <boost/test/unit_test.hpp>

using namespace stek;

namespace {

/// Where the journal is said to be is settled with the first line: one for all cases.
tests::JournalCatcher& journal() {
    static test::Workspace workspace("decline-log");
    static tests::JournalCatcher only(workspace.path());
    return only;
}

struct Fixture {
    DeclineLog log;
    std::size_t heard = journal().entries().size();

    /// The lines since the last call.
    std::vector<std::string> lines() {
        const auto& all = journal().entries();
        std::vector<std::string> fresh(all.begin() + static_cast<std::ptrdiff_t>(heard), all.end());
        heard = all.size();
        return fresh;
    }
};

/// The number in STEK_COUNT.
std::uint64_t count_in(const std::string& line) {
    const std::string field = "STEK_COUNT=";
    return std::stoull(line.substr(line.find(field) + field.size()));
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_first_of_each_reason_is_told_at_once, Fixture) {
    constexpr std::uint64_t soon_after_boot = 1;
    for (unsigned why = 0; why < static_cast<unsigned>(Decline::count_); ++why) {
        const std::string name = decline_name(static_cast<Decline>(why));
        log.declined(static_cast<Decline>(why), soon_after_boot);
        const auto told = lines();
        BOOST_REQUIRE(told.size() == 1U);
        const std::string begin = "MESSAGE=declined 1 ticket, " + name + ": ";
        BOOST_TEST(told[0].starts_with(begin));
        BOOST_TEST(told[0].find('\n') > begin.size() + 10, "no explanation: " << told[0]);
        BOOST_TEST(told[0].find("\nPRIORITY=6\n") != std::string::npos);
        BOOST_TEST(told[0].find("\nSTEK_STATE=declined\n") != std::string::npos);
        BOOST_TEST(told[0].find("\nSTEK_REASON=" + name + "\n") != std::string::npos);
        BOOST_TEST(count_in(told[0]) == 1U);
    }
    log.declined(Decline::count_, soon_after_boot);  // not a reason
    BOOST_TEST(lines().empty());
}

BOOST_FIXTURE_TEST_CASE(later_ones_share_a_line_a_minute, Fixture) {
    constexpr std::uint64_t begin = 5000;
    for (unsigned i = 0; i < 10'000; ++i)
        log.declined(Decline::foreign, begin);
    BOOST_TEST(lines().size() == 1U);
    log.declined(Decline::foreign, begin + 59);
    BOOST_TEST(lines().empty());
    log.declined(Decline::foreign, begin + 60);
    auto told = lines();
    BOOST_REQUIRE(told.size() == 1U);
    BOOST_TEST(told[0].starts_with("MESSAGE=declined 10001 tickets since the last line, foreign: "));
    BOOST_TEST(count_in(told[0]) == 10'001U);
    // Another reason waits for no one.
    log.declined(Decline::bad_tag, begin + 61);
    BOOST_TEST(lines().size() == 1U);
    // The minute begins with the last line.
    log.declined(Decline::foreign, begin + 119);
    BOOST_TEST(lines().empty());
    log.declined(Decline::foreign, begin + 1000);
    told = lines();
    BOOST_REQUIRE(told.size() == 1U);
    BOOST_TEST(count_in(told[0]) == 2U);
}

BOOST_FIXTURE_TEST_CASE(threads_tell_each_decline_once, Fixture) {
    constexpr unsigned threads = 4, each = 20'000;
    constexpr unsigned minutes = 5;  // no more lines than the socket holds
    {
        std::vector<std::jthread> all;
        for (unsigned thread = 0; thread < threads; ++thread)
            all.emplace_back([this] {
                for (unsigned i = 0; i < each; ++i)
                    log.declined(Decline::unknown_key, 100 + std::uint64_t{i} * minutes * 60 / each);
            });
    }
    log.declined(Decline::unknown_key, 1'000'000);  // takes the rest along
    std::uint64_t told = 0;
    const auto fresh = lines();
    for (const auto& line : fresh)
        told += count_in(line);
    BOOST_TEST(told == std::uint64_t{threads} * each + 1);
    BOOST_TEST(fresh.size() >= 3U);
    BOOST_TEST(fresh.size() <= minutes + 2);
}
