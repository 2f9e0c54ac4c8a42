// When a party looks again: what a watch tells makes a call, what is no news makes none.
#define BOOST_TEST_MODULE engine_watch
#include "daemon/fleet/engine_watch.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <sys/eventfd.h>

using namespace stek::fleet;

namespace {

constexpr std::uint64_t second = 1'000'000;

/// Says what it is told to say.
class TestWatch final : public Watch {
  public:
    enum class Says : std::uint8_t { news, nothing_new, broken };
    struct Script {
        int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        Says says = Says::news;
        unsigned made = 0;
    };
    explicit TestWatch(Script& script) : script_(&script) { ++script.made; }
    [[nodiscard]] int fd() const noexcept override { return script_->fd; }
    bool clear() override {
        std::uint64_t rung = 0;
        (void)!::read(script_->fd, &rung, sizeof rung);
        if (script_->says == Says::broken)
            throw EngineError("broken");
        return script_->says == Says::news;
    }

  private:
    Script* script_;
};
using Says = TestWatch::Says;

class TestEngine final : public Engine {
  public:
    TestWatch::Script script;
    unsigned looked_afresh = 0;
    void look_afresh() override { ++looked_afresh; }

    TestEngine() = default;
    TestEngine(const TestEngine&) = delete;
    TestEngine& operator=(const TestEngine&) = delete;
    ~TestEngine() override { ::close(script.fd); }
    void ring() const {
        const std::uint64_t one = 1;
        BOOST_REQUIRE(::write(script.fd, &one, sizeof one) == sizeof one);
    }
    std::unique_ptr<Watch> watch(const std::string&) override { return std::make_unique<TestWatch>(script); }
    bool create(const std::string&, const std::string&, stek::Bytes) override { return no_values(); }
    void put(const std::string&, const std::string&, stek::Bytes) override { no_values(); }
    std::optional<std::vector<std::uint8_t>> get(const std::string&, const std::string&) override {
        no_values();
        return {};
    }
    std::vector<std::string> list(const std::string&, const std::string&) override {
        no_values();
        return {};
    }
    void erase(const std::string&, const std::string&) override { no_values(); }
    [[nodiscard]] std::string name() const override { return "test"; }

  private:
    static bool no_values() { throw std::logic_error("nobody asks for values here"); }
};

struct Fixture {
    TestEngine engine;
    sd_event* loop = nullptr;
    unsigned calls = 0;
    std::unique_ptr<EngineWatch> watch;

    Fixture() {
        BOOST_REQUIRE(sd_event_new(&loop) >= 0);
        watch = std::make_unique<EngineWatch>(loop, [this] { ++calls; });
        watch->watch(engine, {"bucket"});
        spin();
        BOOST_REQUIRE(calls == 1U);  // for what was there before
        calls = 0;
    }
    Fixture(const Fixture&) = delete;
    Fixture& operator=(const Fixture&) = delete;
    ~Fixture() {
        watch.reset();
        sd_event_unref(loop);
    }
    /// Until nothing has happened for a second.
    void spin() const {
        while (sd_event_run(loop, second) > 0) {
        }
    }
    unsigned calls_after(Says says, unsigned rings = 1) {
        calls = 0;
        engine.script.says = says;
        for (unsigned i = 0; i < rings; ++i) {
            engine.ring();
            sd_event_run(loop, 0);
        }
        spin();
        return calls;
    }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(changes_that_come_together_are_one_call, Fixture) {
    BOOST_TEST(calls_after(Says::news) == 1U);
    BOOST_TEST(calls_after(Says::news, 20) == 1U);
}

BOOST_FIXTURE_TEST_CASE(what_is_no_news_makes_no_call, Fixture) {
    BOOST_TEST(calls_after(Says::nothing_new) == 0U);
    BOOST_TEST(calls_after(Says::news) == 1U);
}

BOOST_FIXTURE_TEST_CASE(a_broken_watch_makes_a_call_and_is_made_anew, Fixture) {
    BOOST_TEST(engine.script.made == 1U);
    BOOST_TEST(calls_after(Says::broken) == 1U);
    BOOST_TEST(calls_after(Says::news) == 0U);  // nobody listens
    watch->watch(engine, {"bucket"});
    BOOST_TEST(engine.script.made == 2U);
    spin();
    BOOST_TEST(calls_after(Says::news) == 1U);
    watch->watch(engine, {"bucket"});
    BOOST_TEST(engine.script.made == 2U);
}

// What was not told is seen then.
BOOST_FIXTURE_TEST_CASE(a_look_is_a_call_with_nothing_remembered, Fixture) {
    BOOST_TEST(engine.looked_afresh == 0U);
    watch->look_each(std::chrono::milliseconds(300));
    while (engine.looked_afresh < 3)
        BOOST_REQUIRE(sd_event_run(loop, 5 * second) > 0);
    BOOST_TEST(calls == 3U);
    // Whoever runs more often than that looks all the same.
    while (engine.looked_afresh < 6) {
        watch->look_each(std::chrono::milliseconds(300));
        BOOST_REQUIRE(sd_event_run(loop, 5 * second) > 0);
    }
    watch->watch(engine, {});
    calls = 0;
    while (calls < 2)
        BOOST_REQUIRE(sd_event_run(loop, 5 * second) > 0);
    BOOST_TEST(engine.looked_afresh == 6U);  // it may be gone
}
