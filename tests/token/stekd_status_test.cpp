// stekctl status and the metrics file beside a stekd that runs.
#define BOOST_TEST_MODULE stekd_status
#include "stekd_instance.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

namespace fs = std::filesystem;
using namespace stek::test;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

struct Running : StekdInstance {
    Running() {
        if (read_file(config()).find("\ncontrol = ") == std::string::npos)
            edit("[paths]\n", "[paths]\ncontrol = \"" + (directory / "run/control").string() + "\"\n");
        edit("[paths]\n", "[paths]\nmetrics = \"" + metrics() + "\"\n");
        start();
        BOOST_REQUIRE(says("ready"));
    }
    [[nodiscard]] std::string metrics() const { return directory / "run/stekd.prom"; }
};

void has(const std::string& text, const std::string& part) {
    BOOST_TEST(text.find(part) != std::string::npos, "no \"" << part << "\" in\n" << text);
}

void judged(const Arguments& judge) {
    const auto outcome = run(judge);
    BOOST_TEST(outcome.exit_code == 0, outcome.output);
}

}  // namespace

BOOST_AUTO_TEST_CASE(status_hears_the_daemon_and_others_can_read_it) {
    const Running instance;
    const auto outcome = instance.status({"--json"});
    BOOST_TEST(outcome.exit_code == 0, outcome.output);
    const auto status = json::parse(outcome.output);
    BOOST_TEST(status["daemon"] == instance.daemon->pid());
    BOOST_TEST(status["health"]["ready"] == true);
    BOOST_TEST(status["health"]["tokens_open"] == true);
    BOOST_TEST(status["health"]["chain_lag"] == 0);
    judged({STEK_CHECKS "/check_schema", STEK_CHECKS "/../../docs/status.schema.json", STEK_STEKCTL, "status",
            "--config", instance.config(), "--json"});
    judged({STEK_CHECKS "/check_metrics", STEK_STEKCTL, "status", "--config", instance.config(),
            "--prometheus"});
    const auto table = instance.status().output;
    has(table, "ready; ");
    has(table, ", open, chain at epoch ");
    has(table, "begins in ");
}

BOOST_AUTO_TEST_CASE(the_metrics_file_is_for_all_and_kept_up) {
    Running instance;
    BOOST_REQUIRE(eventually([&] { return fs::exists(instance.metrics()); }));
    BOOST_TEST((fs::status(instance.metrics()).permissions() == static_cast<fs::perms>(0644)));
    judged({STEK_CHECKS "/check_metrics", "cat", instance.metrics()});
    const auto text = read_file(instance.metrics());
    for (const char* line : {"stekd_running 1\n", "stekd_ready 1\n", "stekd_tokens_open 1\n",
                             "stekd_in_trouble 0\n", "stekd_workers 0\n"})
        has(text, line);
    // The second, with the next epoch's key, may just be coming.
    BOOST_TEST(eventually([&] {
        const auto generation = "stekd_ring_generation " + std::to_string(instance.ring()->generation) + "\n";
        return read_file(instance.metrics()).find(generation) != std::string::npos;
    }));
    const auto first = fs::last_write_time(instance.metrics());
    BOOST_TEST(eventually([&] { return fs::last_write_time(instance.metrics()) != first; }, 60s));
}

// A directory that is not there keeps no key from being made.
BOOST_AUTO_TEST_CASE(metrics_that_cannot_be_written_are_told_once) {
    StekdInstance instance(1, 3);
    instance.edit("[paths]\n", "[paths]\nmetrics = \"/no/such/directory/stekd.prom\"\n");
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    const auto generation = instance.ring()->generation;
    BOOST_TEST(eventually([&] { return instance.ring()->generation > generation + 2; }, 60s));
    const auto log = instance.log();
    const auto said = log.find("no metrics: ");
    BOOST_REQUIRE(said != std::string::npos);
    BOOST_TEST(log.find("no metrics: ", said + 1) == std::string::npos);
}

BOOST_AUTO_TEST_CASE(watch_prints_again_until_stopped) {
    const Running instance;
    const auto file = instance.space.path() / "watch";
    Process watch({STEK_STEKCTL, "status", "--config", instance.config(), "--watch", "1"}, {}, file);
    const auto twice = [&] {
        const auto text = read_file(file);
        return text.find("\n\nlocation") != std::string::npos;
    };
    BOOST_TEST(eventually(twice, 60s));
    BOOST_TEST(read_file(file).find('\033') == std::string::npos);
    watch.signal(SIGINT);
    BOOST_TEST(watch.wait(20s));
    BOOST_TEST(watch.exit_code() == 0);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_written_is_no_success) {
    const Running instance;
    for (const std::string how : {"", "--json", "--prometheus", "--watch 1"}) {
        const auto outcome =
            run({"sh", "-c",
                 "exec " STEK_STEKCTL " status " + how + " --config " + instance.config() + " >/dev/full"},
                {{"LD_PRELOAD", ""}});
        BOOST_TEST(outcome.exit_code == 74, how << ": " << outcome.output);
        BOOST_TEST(outcome.output.find("cannot write to standard output") != std::string::npos,
                   outcome.output);
    }
}
