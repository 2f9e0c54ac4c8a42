// What is lost, wrong or hung while stekd runs: it notices at once, and goes on or ends when asked.
#define BOOST_TEST_MODULE stekd_loss
#include "expect.hpp"
#include "open_token.hpp"
#include "provider/ring_file.hpp"
#include "provider/ticket_token.hpp"
#include "stekd_instance.hpp"
#include "tests/fixtures/child.hpp"
#include "tests/fixtures/faulty_module.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

namespace fs = std::filesystem;
using namespace stek;
using namespace stek::test;
using namespace std::chrono_literals;
using nlohmann::json;

// The next epoch is up to an hour away: what comes back comes because the loss was noticed.
BOOST_AUTO_TEST_CASE(a_lost_ring_and_a_lost_ticket_token_come_back_at_once) {
    StekdInstance instance;
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    const auto first = instance.ring();
    fs::remove(instance.ring_file());
    BOOST_TEST(eventually([&] { return fs::exists(instance.ring_file()); }, 60s));
    fs::rename(instance.ring_file(), instance.ring_file() + ".away");
    BOOST_TEST(eventually([&] { return fs::exists(instance.ring_file()); }, 60s));
    const auto lost = instance.token_directory(first->token_serial);
    fs::rename(lost, instance.directory / "away");
    BOOST_TEST(eventually([&] { return instance.ring()->token_serial != first->token_serial; }, 90s));
    // The old one comes back beside it: the one that the state remembers goes on.
    const auto remade = instance.ring();
    instance.daemon->stop();
    fs::rename(instance.directory / "away", lost);
    const auto outcome = instance.once();
    BOOST_TEST(outcome.exit_code == 0, outcome.output);
    BOOST_TEST(instance.ring()->token_serial == remade->token_serial);
}

namespace {

/// Names of keys, and files of pairs: what a refused reload must leave.
struct AtHand {
    explicit AtHand(const StekdInstance& instance) {
        const auto ring = instance.ring();
        BOOST_REQUIRE(ring);
        for (const auto& record : ring->records)
            names.insert(record->name);
        pairs = object_files(instance.token_directory(ring->token_serial));
    }
    bool operator==(const AtHand&) const = default;
    std::set<KeyName> names;
    std::set<std::string> pairs;
};

void reload(StekdInstance& instance, const std::string& answer) {
    const auto said = instance.log().size();
    instance.daemon->signal(SIGHUP);
    BOOST_REQUIRE_MESSAGE(
        eventually([&] { return instance.log().find(answer, said) != std::string::npos; }, 60s),
        instance.log());
    // The turn that follows is over when it hears what is asked.
    BOOST_REQUIRE(instance.status({"--json"}).output.find("\"health\": {") != std::string::npos);
}

Outcome ctl(const StekdInstance& instance, Arguments arguments) {
    arguments.insert(arguments.begin(), STEK_STEKCTL);
    arguments.insert(arguments.end(), {"--config", instance.config()});
    return run(arguments);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_reload_that_parses_but_does_not_work_leaves_the_old_one) {
    StekdInstance instance;
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    BOOST_TEST(ctl(instance, {"rotate"}).exit_code == 0);  // there are older keys, too
    fs::create_directories(instance.directory / "run/taken.new/x");
    const AtHand before(instance);
    for (const auto& [right, wrong] :
         {std::pair<std::string, std::string>("token=stekd-ticket", "token=other"),
          {"token=stekd-vault", "token=other"},
          {STEK_MODULE, "/no/such/stek.so"},
          {"run/keyring", "run/taken"}}) {
        instance.edit(right, wrong);
        reload(instance, "the old configuration stays");
        instance.edit(wrong, right);
        BOOST_TEST((AtHand(instance) == before), wrong << ": " << instance.log());
        BOOST_TEST(instance.daemon->running());
    }
    fs::remove(instance.ring_file());
    BOOST_TEST(eventually([&] { return fs::exists(instance.ring_file()); }, 60s));
}

BOOST_AUTO_TEST_CASE(a_ring_that_is_to_lie_elsewhere_goes_there_with_its_keys) {
    StekdInstance instance;
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    const AtHand before(instance);
    const auto old = instance.ring_file();
    instance.edit("run/keyring", "run/other");
    reload(instance, "configuration read anew");
    BOOST_TEST(!fs::exists(old));
    fs::rename(instance.directory / "run/other", old);  // where AtHand looks
    BOOST_TEST((AtHand(instance) == before));
}

// It was right when stekd logged in; whether the token has another PIN by now is not for stekd to find out.
BOOST_AUTO_TEST_CASE(a_reload_beside_a_wrong_pin_file_does_not_log_in) {
    StekdInstance instance;
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    const auto pin = instance.directory / "pins/vault.pin";
    const auto right = read_file(pin);
    write_file(pin, "0000\n");
    reload(instance, "configuration read anew");
    BOOST_TEST(ctl(instance, {"rotate"}).exit_code == 0, instance.log());
    BOOST_TEST(instance.daemon->running());
    write_file(pin, right);
}

BOOST_AUTO_TEST_CASE(another_file_in_the_ring_s_place_is_replaced_at_once) {
    StekdInstance instance;
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    BOOST_TEST(ctl(instance, {"rotate"}).exit_code == 0);
    BOOST_TEST(instance.log().find("somebody") == std::string::npos, instance.log());  // not by its own
    write_file(instance.directory / "run/noise", "noise");
    fs::rename(instance.directory / "run/noise", instance.ring_file());
    BOOST_TEST(instance.says("somebody removed or overwrote the key ring"));
    BOOST_TEST(eventually(
        [&] {
            try {
                return instance.ring() != nullptr;
            } catch (const RingError&) {
                return false;
            }
        },
        60s));
}

BOOST_AUTO_TEST_CASE(sigterm_ends_a_stekd_whose_token_hangs) {
    Workspace space("hanging");
    tests::FaultyModule module(space.path());
    StekdInstance instance(3600, 7200, {"--module", module.path()});
    module.sleep("C_FindObjectsInit", 1h);
    instance.start();
    BOOST_TEST(instance.says("a token call has hung for 1"));
    instance.daemon->signal(SIGTERM);
    BOOST_TEST(instance.daemon->wait(60s));
    BOOST_TEST(instance.daemon->exit_code() == 75);
    module.clear();
    BOOST_TEST(instance.once().exit_code == 0);
}

// Each key takes its time to derive, and together they take longer than any single call may.
BOOST_AUTO_TEST_CASE(a_slow_start_is_no_hang) {
    Workspace space("slow");
    tests::FaultyModule module(space.path());
    StekdInstance instance(3600, 7200, {"--module", module.path()});
    module.reset_counts();
    module.sleep("C_DeriveKey", 1200ms);
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    BOOST_TEST(module.calls("C_DeriveKey") >= 9U);
    BOOST_TEST(instance.log().find("has hung") == std::string::npos, instance.log());
}

// A login writes to token.object; nobody has removed it.
BOOST_AUTO_TEST_CASE(a_login_is_no_loss) {
    StekdInstance instance;
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    for (int reloads = 1; reloads <= 3; ++reloads) {
        const auto said = instance.log().size();
        instance.daemon->signal(SIGHUP);
        BOOST_REQUIRE(eventually(
            [&] { return instance.log().find("configuration read anew", said) != std::string::npos; }, 60s));
    }
    write_file(instance.ring_file(), "noise");
    BOOST_TEST(instance.says("somebody removed or overwrote the key ring"));
    BOOST_TEST(instance.log().find("token.object") == std::string::npos, instance.log());
}

// A key that is made and cannot be published is kept, not made anew by each try.
BOOST_AUTO_TEST_CASE(a_ring_that_cannot_be_written_costs_no_keys) {
    StekdInstance instance;
    fs::create_directories(instance.ring_file() + ".new/x");
    instance.start();
    BOOST_REQUIRE(instance.says("trying again"));
    const auto state = [&] { return json::parse(read_file(instance.directory / "state/state.json")); };
    const auto generation = state()["generation"].get<unsigned>();
    BOOST_TEST(eventually([&] { return state()["generation"].get<unsigned>() >= generation + 2; }, 60s));
    BOOST_TEST(state()["highest_revision"] == 0);
    fs::remove_all(instance.ring_file() + ".new");
    BOOST_TEST(instance.says("all is well again"));
    const auto ring = instance.ring();
    BOOST_REQUIRE(ring);
    for (const auto& record : ring->records)
        BOOST_TEST(record->revision == 0U);
    BOOST_TEST(sealing_record(*ring, time(nullptr), 0) != nullptr);
}

// Neither state nor ring can be written, as on a full disk: the expired key's pair goes all the same.
BOOST_AUTO_TEST_CASE(an_expired_pair_goes_though_no_file_can_be_written) {
    StekdInstance instance;
    BOOST_REQUIRE(instance.once().exit_code == 0);
    const auto ring = instance.ring();
    const auto token = instance.token_directory(ring->token_serial);
    const auto before = object_files(token).size();
    KeyRing older;
    older.location = ring->location;
    older.token_serial = ring->token_serial;
    older.period = ring->period;
    older.generation = ring->generation;
    older.written_at = ring->written_at;
    for (const auto& record : ring->records) {
        auto copy = std::make_unique<RingRecord>();
        copy->epoch = record->epoch;
        copy->revision = record->revision;
        copy->not_before = record->not_before;
        copy->seal_until = record->seal_until;
        copy->open_until = record->open_until;
        copy->destroy_at = older.records.empty() ? 1 : record->destroy_at;
        copy->name = record->name;
        copy->pair = record->pair;
        copy->oaep = record->oaep;
        copy->wrapped_key = record->wrapped_key;
        older.records.push_back(std::move(copy));
    }
    const auto file = encode_ring(older, 1);
    replace_ring_file(instance.ring_file(), file.bytes(), {});
    const auto path = instance.directory / "state/state.json";
    auto state = json::parse(read_file(path));
    for (auto& pair : state["pairs"])
        pair["slot"] = 0;
    write_file(path, state.dump());
    fs::create_directories(instance.directory / "state/state.json.new/x");
    fs::create_directories(instance.ring_file() + ".new/x");
    const auto outcome = instance.once();
    expect(outcome, 75, "state.json.new");
    BOOST_TEST(object_files(token).size() == before - 2, outcome.output);
}

BOOST_AUTO_TEST_CASE(a_module_that_is_none_exits_78) {
    StekdInstance instance;
    instance.edit("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/libssl.so.3");
    instance.edit("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/libssl.so.3");
    expect(instance.once(), 78, "is not a PKCS#11 module");
}

BOOST_AUTO_TEST_CASE(a_mistyped_label_without_a_state_costs_no_pin) {
    StekdInstance instance;
    const auto pin = read_file(instance.directory / "pins/ticket.pin");
    instance.edit("token=stekd-ticket", "token=stekd-tikcet");
    expect(instance.once(), 75, "may be the PIN of one that is there");
    BOOST_TEST(read_file(instance.directory / "pins/ticket.pin") == pin);
}

BOOST_AUTO_TEST_CASE(a_clock_before_1970_is_waited_for) {
    StekdInstance instance;
    const auto outcome =
        run({"faketime", "-f", "@1969-12-31 12:00:00", STEK_STEKD, "--config", instance.config(), "--once"},
            {{"TZ", "UTC"}});
    expect(outcome, 75, "the clock is before 1970");
    BOOST_TEST(instance.once().exit_code == 0);
    BOOST_TEST(instance.ring()->records.front()->revision == 0U);
}

BOOST_AUTO_TEST_CASE(a_clock_that_jumps_ahead_and_back_costs_no_key) {
    StekdInstance instance;
    BOOST_REQUIRE(instance.once().exit_code == 0);
    const auto before = instance.ring();
    for (const auto* shift : {"+10d", "-10d"}) {
        const auto outcome =
            run({"faketime", "-f", shift, STEK_STEKD, "--config", instance.config(), "--once"},
                {{"FAKETIME_DONT_FAKE_MONOTONIC", "1"}});
        BOOST_TEST(outcome.exit_code == 0, outcome.output);
        const auto ring = instance.ring();
        const auto there = time(nullptr) + (*shift == '+' ? 10 : -10) * 86400;
        BOOST_TEST(sealing_record(*ring, there, 0) != nullptr);
        for (const auto& record : before->records)
            BOOST_TEST(opening_record(*ring, record->name, time(nullptr)) != nullptr);
    }
    BOOST_TEST(instance.once().exit_code == 0);
    BOOST_TEST(sealing_record(*instance.ring(), time(nullptr), 0) != nullptr);
}

namespace {

/// The wall clock of a stekd that runs, and nothing else.
class FakeClock {
  public:
    explicit FakeClock(const StekdInstance& instance) : file_(instance.space.path() / "clock") { set(0); }
    void set(int days) const {
        write_file(file_.string() + ".new", (days < 0 ? "" : "+") + std::to_string(days) + "d\n");
        fs::rename(file_.string() + ".new", file_);
    }
    [[nodiscard]] Environment environment() const {
        return {{"LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1"},
                {"FAKETIME_TIMESTAMP_FILE", file_},
                {"FAKETIME_NO_CACHE", "1"},
                {"FAKETIME_DONT_FAKE_MONOTONIC", "1"}};
    }

  private:
    fs::path file_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_clock_that_jumps_under_a_running_one_costs_no_key) {
    StekdInstance instance;
    const FakeClock clock(instance);
    instance.start(clock.environment());
    BOOST_REQUIRE(instance.says("ready"));
    const auto before = instance.ring();
    for (const int days : {10, -10, 0}) {
        clock.set(days);
        // The kernel's own clock did not move, so nobody wakes the daemon; a reload does.
        instance.daemon->signal(SIGHUP);
        const auto there = [&] { return time(nullptr) + days * 86400; };
        BOOST_TEST(eventually(
            [&] {
                const auto ring = instance.ring();
                return ring && sealing_record(*ring, there(), 0) != nullptr;
            },
            60s));
        for (const auto& record : before->records)
            BOOST_TEST(opening_record(*instance.ring(), record->name, time(nullptr)) != nullptr);
    }
    BOOST_TEST(instance.daemon->running());
    BOOST_TEST(instance.log().find("chain key made", instance.log().find("ready")) == std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_reload_gives_a_new_reader_its_rights_at_once) {
    StekdInstance instance;
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    const auto generation = instance.ring()->generation;
    instance.edit("[\"nobody\"]", "[\"nobody\", \"www-data\"]");
    instance.daemon->signal(SIGHUP);
    BOOST_REQUIRE(instance.says("configuration read anew"));
    const auto rights = [](const fs::path& path) { return run({"getfacl", "-cp", path}).output; };
    const auto token = instance.token_directory(instance.ring()->token_serial);
    for (const auto& [path, right] : {std::pair<fs::path, std::string>(instance.ring_file(), "r--"),
                                      {token / "token.object", "r--"},
                                      {token, "r-x"},
                                      {instance.directory / "run/stats", "rwx"}})
        for (const std::string reader : {"nobody", "www-data"})
            BOOST_TEST(rights(path).find("user:" + reader + ":" + right) != std::string::npos,
                       path << ":\n"
                            << rights(path));
    BOOST_TEST(instance.ring()->generation == generation);
}

namespace {

/// How many of that ring's keys the ticket token unwraps; asked in a process of its own.
std::size_t unwrapped(const StekdInstance& instance, const KeyRing& ring) {
    const int status = tests::in_child([&] {
        ::setenv("SOFTHSM2_CONF", (instance.directory / "softhsm2.conf").c_str(), 1);
        const auto token =
            tests::find_token("pkcs11:token=stekd-ticket?module-path=" + std::string(tests::softhsm_module));
        int opened = 0;
        for (const auto& record : ring.records)
            try {
                pkcs11::Session session(token, pkcs11::Access::read_only);
                (void)unwrap_stek(session, *record);
                ++opened;
            } catch (const pkcs11::TokenError&) {  // its pair is not there
            }
        return opened;
    });
    BOOST_REQUIRE(WIFEXITED(status));
    return static_cast<std::size_t>(WEXITSTATUS(status));
}

}  // namespace

// Threat model: who keeps a ring and sets the clock back, so that its keys shall not be over.
BOOST_AUTO_TEST_CASE(an_old_ring_opens_nothing_though_the_clock_is_set_back) {
    StekdInstance instance(2, 2);
    const FakeClock clock(instance);
    instance.start(clock.environment());
    BOOST_REQUIRE(instance.says("ready"));
    const auto old = instance.ring();
    BOOST_TEST(old->records.size() >= 2U);
    BOOST_TEST(unwrapped(instance, *old) >= 1U);  // on a busy machine the first may be over by now
    clock.set(-1);
    reload(instance, "configuration read anew");
    // By that date they open for a day.
    for (const auto& record : old->records)
        BOOST_TEST(opening_record(*old, record->name, time(nullptr) - 86400 / 2) != nullptr);
    BOOST_TEST(instance.says("key pair destroyed"), instance.log());
    BOOST_TEST(eventually([&] { return unwrapped(instance, *old) == 0; }, 30s), instance.log());
    BOOST_TEST(instance.daemon->running());
}
