// stekd --once, --check and stekctl status: what they do, what they say, how they leave.
#define BOOST_TEST_MODULE stekd_once
#include "daemon/state.hpp"
#include "expect.hpp"
#include "stekd_instance.hpp"
#include "tests/fixtures/faulty_module.hpp"
#include "tests/fixtures/full_length.hpp"

#include <set>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

namespace fs = std::filesystem;
using namespace stek;
using namespace stek::test;
using nlohmann::json;
using tests::FaultyModule;

namespace {

std::set<std::string> names(const KeyRing& ring) {
    std::set<std::string> all;
    for (const auto& record : ring.records)
        all.emplace(record->name.begin(), record->name.end());
    return all;
}

/// An instance whose PKCS#11 module does what the test says.
struct FaultyInstance {
    FaultyInstance()
        : space("faulty"), module(space.path()), instance(3600, 7200, {"--module", module.path()}) {}
    Workspace space;
    FaultyModule module;
    StekdInstance instance;
};

}  // namespace

BOOST_AUTO_TEST_CASE(once_makes_a_ring_and_twice_does_no_more) {
    const StekdInstance instance;
    BOOST_TEST(instance.once().exit_code == 0);
    const auto ring = instance.ring();
    BOOST_REQUIRE(ring);
    BOOST_TEST(ring->location == "test");
    BOOST_TEST(ring->records.size() == 2U);
    BOOST_TEST(sealing_record(*ring, time(nullptr), 0) != nullptr);
    BOOST_TEST(names(*ring).size() == 2U);
    const auto again = instance.once();
    BOOST_TEST(again.exit_code == 0);
    BOOST_TEST(again.output.empty(), again.output);
    BOOST_TEST(instance.ring()->generation == ring->generation);
}

BOOST_AUTO_TEST_CASE(a_lost_ring_is_replaced_by_other_keys) {
    const StekdInstance instance;
    BOOST_TEST(instance.once().exit_code == 0);
    const auto before = instance.ring();
    fs::remove(instance.ring_file());
    BOOST_TEST(instance.once().exit_code == 0);
    const auto after = instance.ring();
    for (const auto& name : names(*after))
        BOOST_TEST(!names(*before).contains(name));
    BOOST_TEST(after->records[0]->revision > before->records[0]->revision);
    BOOST_TEST(after->generation > before->generation);
}

BOOST_AUTO_TEST_CASE(a_ring_that_is_noise_is_made_anew) {
    const StekdInstance instance;
    write_file(instance.ring_file(), std::string(1000, 'x'));
    expect(instance.once(), 0, "the key ring is made anew");
    BOOST_TEST(instance.ring()->records.size() == 2U);
}

BOOST_AUTO_TEST_CASE(another_locations_ring_is_made_anew) {
    const StekdInstance instance;
    BOOST_TEST(instance.once().exit_code == 0);
    const auto before = names(*instance.ring());
    instance.edit("\"test\"", "\"elsewhere\"");
    expect(instance.once(), 0, "it is location test's");
    for (const auto& name : names(*instance.ring()))
        BOOST_TEST(!before.contains(name));
}

BOOST_AUTO_TEST_CASE(status_tells_of_another_locations_ring) {
    const StekdInstance instance;
    BOOST_TEST(instance.once().exit_code == 0);
    instance.without_control();
    instance.edit("location = \"test\"", "location = \"other\"");
    expect(instance.status(), 1, "the key ring is of location test, not of other");
}

BOOST_AUTO_TEST_CASE(a_state_that_is_noise_is_set_aside) {
    const StekdInstance instance;
    BOOST_TEST(instance.once().exit_code == 0);
    const auto before = instance.ring();
    write_file(instance.directory / "state/state.json", "{\"version\": 1, ");
    expect(instance.once(), 0, "set aside");
    BOOST_TEST(names(*instance.ring()) == names(*before));  // the ring's keys go on
    BOOST_TEST(fs::exists(instance.directory / "state/state.json.bad"));
}

// The ring alone remembers the names that were given, and then it is lost, too.
BOOST_AUTO_TEST_CASE(names_are_given_once_though_the_state_was_lost) {
    const StekdInstance instance;
    BOOST_TEST(instance.once().exit_code == 0);
    std::set<std::pair<std::uint64_t, std::uint32_t>> given;
    const auto ring = instance.ring();
    for (const auto& record : ring->records)
        given.emplace(record->epoch, record->revision);
    fs::remove(instance.directory / "state/state.json");
    BOOST_TEST(instance.once().exit_code == 0);
    fs::remove(instance.ring_file());
    BOOST_TEST(instance.once().exit_code == 0);
    const auto anew = instance.ring();
    for (const auto& record : anew->records)
        BOOST_TEST(!given.contains({record->epoch, record->revision}));
}

BOOST_AUTO_TEST_CASE(a_ring_of_another_boot_is_not_trusted) {
    const StekdInstance instance;
    BOOST_TEST(instance.once().exit_code == 0);
    const auto before = names(*instance.ring());
    const auto path = instance.directory / "state/state.json";
    auto state = json::parse(read_file(path));
    state["boot_id"] = "11111111-2222-3333-4444-555555555555";
    write_file(path, state.dump());
    expect(instance.once(), 0, "it is of another boot");
    for (const auto& name : names(*instance.ring()))
        BOOST_TEST(!before.contains(name));
}

// What a kill in a login leaves (SoftHSM truncates, then writes).
BOOST_AUTO_TEST_CASE(an_emptied_token_object_is_put_back) {
    const StekdInstance instance;
    for (int time = 0; time < 2; ++time) {  // before the first login, and after one
        for (const auto& token : fs::directory_iterator(instance.directory / "tokens"))
            fs::resize_file(token.path() / "token.object", 0);
        expect(instance.once(), 0, "put back");
    }
    BOOST_TEST(instance.ring()->records.size() == 2U);
    for (const auto& copy : fs::directory_iterator(instance.directory / "state/tokens"))
        BOOST_TEST(
            (fs::status(copy.path()).permissions() == (fs::perms::owner_read | fs::perms::owner_write)));
}

BOOST_AUTO_TEST_CASE(status_for_programs_and_for_people) {
    const StekdInstance instance;
    BOOST_TEST(instance.status().exit_code == 1);
    BOOST_TEST(instance.once().exit_code == 0);
    // No stekd runs, and by this configuration one should.
    expect(instance.status(), 1, "PROBLEM: stekd does not run");
    instance.without_control();
    const auto outcome = instance.status({"--json"});
    BOOST_TEST(outcome.exit_code == 0);
    const auto status = json::parse(outcome.output);
    BOOST_TEST(status["location"] == "test");
    BOOST_TEST(status["period"] == 3600);
    BOOST_TEST(status["daemon"] == 0);
    BOOST_TEST(status["problems"].empty());
    BOOST_REQUIRE(status["keys"].size() == 2U);
    BOOST_TEST(status["keys"][0]["state"] == "sealing");
    BOOST_TEST(status["keys"][1]["state"] == "prepared");
    BOOST_TEST(status["keys"][0]["name"].get<std::string>().size() == 32U);
    BOOST_TEST(status["keys"][0]["seconds_left"].get<int>() <= 3600);
    BOOST_TEST(status["counters"]["sealed"] == 0);
    BOOST_TEST(!outcome.output.empty());
    const auto text = instance.status();
    BOOST_TEST(text.output.find(status["keys"][0]["name"].get<std::string>()) != std::string::npos,
               text.output);
    BOOST_TEST(text.output.find("stekd is not running") != std::string::npos, text.output);
}

BOOST_AUTO_TEST_CASE(check_finds_nothing_on_a_good_instance) {
    const StekdInstance instance;
    const auto outcome = instance.check();
    expect(outcome, 0, "ok    enforcement: every attempt");
    BOOST_TEST(outcome.output.find("FAIL") == std::string::npos, outcome.output);
}

BOOST_AUTO_TEST_CASE(check_names_what_is_wrong) {
    const StekdInstance instance;
    instance.edit("\"nobody\"", "\"no-such-user\"");
    expect(instance.check(), 1,
           "FAIL  configuration: " + instance.config() + ":5: readers: there is no user \"no-such-user\"");
    instance.edit("\"no-such-user\"", "\"nobody\"");
    instance.edit(STEK_MODULE, "/no/such/stek.so");
    expect(instance.check(), 1, "/no/such/stek.so cannot be loaded");
    instance.edit("/no/such/stek.so", STEK_MODULE);
    instance.edit("token=stekd-ticket", "token=other");
    expect(instance.check(), 1, "token=other");
    instance.edit("token=other", "token=stekd-ticket");
    fs::remove_all(instance.directory / "run");
    expect(instance.check(), 1, "FAIL  paths.keyring: there is no directory");
}

BOOST_AUTO_TEST_CASE(check_says_why_a_provider_does_not_load) {
    const StekdInstance instance;
    instance.edit(STEK_MODULE, "/no/such/stek.so");
    expect(instance.check(), 1,
           "/no/such/stek.so cannot be loaded: /no/such/stek.so: cannot open shared object file");
    BOOST_TEST(instance.once().output.find("cannot open shared object file") != std::string::npos);
    instance.edit("/no/such/stek.so", "/usr/lib/softhsm/libsofthsm2.so");
    expect(instance.check(), 1, "it is no OpenSSL provider");
    instance.edit("provider = \"/usr/lib/softhsm/libsofthsm2.so", "provider = \"" + instance.config());
    expect(instance.check(), 1, "stekd.toml: invalid ELF header");
}

BOOST_AUTO_TEST_CASE(check_refuses_a_ring_that_is_a_directory) {
    const StekdInstance instance;
    fs::create_directory(instance.ring_file());
    expect(instance.check(), 1, "FAIL  paths.keyring: " + instance.ring_file() + " is no file");
}

BOOST_AUTO_TEST_CASE(check_reads_the_servers_configuration) {
    const StekdInstance instance;
    const std::string file = instance.directory / "openssl.cnf";
    expect(instance.check(), 0, "ok    paths.server_config: " + file);
    fs::remove_all(instance.directory / "state");  // without it there is no probe, which takes its time
    const auto good = read_file(file);
    const auto at = [&](const std::string& line) { return "FAIL  paths.server_config: " + file + line; };
    const std::string dir = instance.directory;
    const struct {
        std::string from, to, finding;
    } cases[] = {
        {"keyring = " + dir, "keyring = /elsewhere" + dir,
         ": [stek]: keyring = /elsewhere" + dir + "/run/keyring, but paths.keyring = " + dir},
        {"location = test", "location = other", ": [stek]: location = other, but location = test"},
        {"stale-epochs = 2", "stale-epochs = 3", ": [stek]: stale-epochs = 3, but stale_epochs = 2"},
        {"stats = " + dir, "stats = /elsewhere", ": [stek]: stats = /elsewhere"},
        {"module-config = " + dir, "module-config = /elsewhere", ": [stek]: module-config = /elsewhere"},
        {"token=stekd-ticket", "token=stekd-vault", ": [stek]: token's label = stekd-vault"},
        {"token=stekd-ticket", "token=stekd-ticket;serial=0123456789abcdef",
         ": [stek]: token's serial = 0123456789abcdef, but that of ticket.uri = (none)"},
        {"token=stekd-ticket", "token=stekd-ticket;slot-id=7", ": [stek]: token's slot-id = 7"},
        {"token=stekd-ticket", "token=stekd-ticket;model=other", ": [stek]: token's model = other"},
        {"stekd-ticket?", "stekd-ticket?pin-source=file:/nowhere&",
         ": [stek]: PIN source file:/nowhere: No such file"},
        {"stekd-ticket?", "stekd-ticket?pin-source=/dev/null&",
         ": [stek]: PIN source /dev/null: is not a regular file"},
        {"stekd-ticket?", "stekd-ticket?pin-source=prompt:&",
         ": [stek]: token: pin-source = prompt: a server cannot ask"},
        {"stale-epochs = 2", "early-data = maybe", ": [stek]: early-data = maybe: neither yes nor no"},
        {"stale-epochs", "stale-epoch", ": [stek]: stale-epoch: no such key"},
        {"stale-epochs = 2", "attach = no", ": [stek]: attach = no: servers get no tickets"},
        {"module = " STEK_MODULE, "module = /old/stek.so",
         ": [stek]: module = /old/stek.so, but paths.provider"},
        {"stek = stek\n", "", ": no active provider has module = " STEK_MODULE},
        {"", "", ""},  // not activated
        {"\n[stek]\n", "\n[stek\n", ", line "},
        {"providers = ", "providers = no_such_section #", ": there is no section [no_such_section"},
    };
    for (const auto& [from, to, finding] : cases) {
        const bool inactive = finding.empty();
        const auto old = inactive ? std::string(STEK_MODULE "\nactivate = 1\n") : from;
        auto text = good;
        BOOST_REQUIRE_MESSAGE(text.find(old) != std::string::npos, old);
        write_file(file, text.replace(text.find(old), old.size(), inactive ? STEK_MODULE "\n" : to));
        expect(instance.check(), 1,
               at(inactive ? ": no active provider has module = " STEK_MODULE : finding));
    }
    fs::remove(file);
    expect(instance.check(), 1, "FAIL  paths.server_config: there is no file " + file);
    instance.edit("server_config = \"" + file + "\"\n", "");
    BOOST_TEST(instance.check().output.find("server_config") == std::string::npos);
}

// What the probe makes would be found, and removed, by a stekd that starts in the middle, and the other way
// round.
BOOST_AUTO_TEST_CASE(check_holds_the_state_as_long_as_it_is_in_the_tokens) {
    FaultyInstance faulty;
    faulty.module.reset_counts();
    faulty.module.sleep("C_GenerateKeyPair", std::chrono::seconds(5));
    const auto log = faulty.space.path() / "check.log";
    Process check({STEK_STEKD, "--config", faulty.instance.config(), "--check"}, {}, log);
    BOOST_REQUIRE(eventually([&] { return faulty.module.calls("C_GenerateKeyPair") > 0; }));
    expect(faulty.instance.once(), 75, "works in");
    faulty.module.clear();  // for those to come: that one sleeps already
    BOOST_TEST(check.wait(std::chrono::seconds(60)));
    BOOST_TEST(check.exit_code() == 0, read_file(log));
    BOOST_TEST(faulty.instance.once().exit_code == 0);
}

BOOST_AUTO_TEST_CASE(check_as_root_keeps_nobody_out) {
    const StekdInstance instance;
    const auto state = instance.directory / "state";
    BOOST_REQUIRE(::chown(state.c_str(), 65534, 65534) == 0);
    BOOST_TEST(instance.check().exit_code == 0);
    struct stat lock {};
    BOOST_REQUIRE(::stat((state / "lock").c_str(), &lock) == 0);
    BOOST_TEST(lock.st_uid == 65534U);
    fs::remove_all(state);
    expect(instance.check(), 0, "no login, no probe");
    BOOST_TEST(!fs::exists(state));
}

BOOST_AUTO_TEST_CASE(a_wrong_configuration_exits_78) {
    const StekdInstance instance;
    instance.edit("period = 3600", "period = 0");
    for (const auto& outcome : {instance.once(), instance.check(), instance.status()})
        expect(outcome, 78, "stekd.toml:2: period: must be a whole number");
    instance.edit("period = 0", "period = 3600");
    instance.edit("\"nobody\"", "\"no-such-user\"");
    expect(instance.once(), 78,
           instance.config() + ":5: readers: there is no user \"no-such-user\"; each must be a user");
    instance.edit("\"no-such-user\"", "\"nobody\"");
    expect(run({STEK_STEKD, "--config", instance.directory, "--once"}), 78, "is a directory");
    // Not root's own: stekd may not read it.
    fs::permissions(instance.config(), fs::perms::owner_read);
    expect(run({"setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", STEK_STEKD, "--config",
                instance.config(), "--once"}),
           78, instance.config() + ": Permission denied");
    BOOST_TEST(run({STEK_STEKD, "--no-such-option"}).exit_code == 64);
    BOOST_TEST(run({STEK_STEKD, "--once", "--check"}).exit_code == 64);
}

// Waiting heals none of these, so stekd does not: file, line and key.
BOOST_AUTO_TEST_CASE(what_is_named_and_is_not_there_exits_78) {
    StekdInstance instance;
    const auto right = read_file(instance.config());
    const auto names = [&](const std::string& key, const std::string& value, const std::string& complaint) {
        const auto at = right.find("\n" + key + " = ");
        BOOST_REQUIRE(at != std::string::npos);
        const auto line =
            std::to_string(std::count(right.begin(), right.begin() + static_cast<long>(at), '\n') + 2);
        auto text = right;
        const auto end = text.find('\n', at + 1);
        write_file(instance.config(), text.replace(at + 1, end - at - 1, key + " = \"" + value + "\""));
        const auto wanted = instance.config() + ":" + line + ": paths." + key + ": " + complaint;
        instance.start();
        BOOST_REQUIRE(instance.daemon->wait(std::chrono::seconds(60)));
        BOOST_TEST(instance.daemon->exit_code() == 78);
        BOOST_TEST(instance.log().find(wanted) != std::string::npos, instance.log());
        expect(instance.check(), 1, "FAIL  configuration: " + wanted);
    };
    names("control", "/no/such/directory/control", "there is no directory /no/such/directory");
    names("control", "/" + std::string(200, 'x'), "must be 107 bytes at most, not 201");
    names("control", instance.config() + "/control", instance.config() + " is no directory");
    names("state", "/no/such/directory/state", "there is no directory /no/such/directory");
    names("module_config", "/no/such/softhsm2.conf", "there is no file /no/such/softhsm2.conf");
    BOOST_TEST(!fs::exists(instance.ring_file()));
    // A running one keeps what it has.
    write_file(instance.config(), right);
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    instance.edit("/run/control\"", "/nowhere/control\"");
    instance.daemon->signal(SIGHUP);
    BOOST_TEST(instance.says("the old configuration stays: " + instance.config() + ":"));
    BOOST_TEST(instance.daemon->running());
}

BOOST_AUTO_TEST_CASE(a_module_that_does_not_initialise_is_called_a_module) {
    FaultyInstance faulty;
    faulty.module.fail("C_Initialize", CKR_GENERAL_ERROR);
    expect(faulty.instance.once(), 75,
           "C_Initialize of the module " + faulty.module.path() + ": CKR_GENERAL_ERROR (0x5)");
}

BOOST_AUTO_TEST_CASE(a_missing_token_exits_75) {
    const StekdInstance instance;
    fs::rename(instance.directory / "tokens", instance.directory / "elsewhere");
    fs::create_directory(instance.directory / "tokens");
    expect(instance.once(), 75, "stekd-vault");
    BOOST_TEST(!fs::exists(instance.ring_file()));
}

BOOST_AUTO_TEST_CASE(a_wrong_pin_exits_77_after_one_try) {
    FaultyInstance faulty;
    const auto pin = faulty.instance.directory / "pins/vault.pin";
    write_file(pin, "0123456789abcdef0123456789abcdef\n");
    faulty.module.reset_counts();
    expect(faulty.instance.once(), 77, "CKR_PIN_INCORRECT");
    BOOST_TEST(faulty.module.calls("C_Login") == 1U);
    // The service does not try again either: it leaves.
    faulty.module.reset_counts();
    faulty.instance.start();
    BOOST_TEST(faulty.instance.daemon->wait(std::chrono::seconds(60)));
    BOOST_TEST(faulty.instance.daemon->exit_code() == 77);
    BOOST_TEST(faulty.module.calls("C_Login") == 1U);
    BOOST_TEST(faulty.instance.log().find("0123456789abcdef") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(one_login_is_enough) {
    FaultyInstance faulty;
    faulty.module.reset_counts();
    BOOST_TEST(faulty.instance.once().exit_code == 0);
    BOOST_TEST(faulty.module.calls("C_Login") == 1U);
}

// A token that grants what its templates forbid: played by a module that says CKR_OK to each change.
BOOST_AUTO_TEST_CASE(a_token_that_does_not_enforce_is_refused_unless_allowed) {
    FaultyInstance faulty;
    faulty.module.fail("C_SetAttributeValue", CKR_OK);
    expect(faulty.instance.once(), 78, "does not refuse");
    BOOST_TEST(!fs::exists(faulty.instance.ring_file()));
    expect(faulty.instance.check(), 1, "FAIL  enforcement");
    faulty.instance.edit("\n\n[vault]", "\nallow_weak_token = true\n\n[vault]");
    expect(faulty.instance.once(), 0, "does not refuse");
    BOOST_TEST(faulty.instance.ring()->records.size() == 2U);
    faulty.instance.without_control();
    expect(faulty.instance.status(), 0, "WARNING: the ticket token is weak");
    expect(faulty.instance.check(), 0, "WEAK, as allowed");
}

// A kill where a key is made must not give its epoch and revision to a second one.
BOOST_AUTO_TEST_CASE(a_key_is_reserved_before_it_is_made) {
    FaultyInstance faulty;
    faulty.module.fail("C_WrapKey", CKR_DEVICE_ERROR);  // the key is there by then
    BOOST_TEST(faulty.instance.once().exit_code != 0);
    BOOST_TEST(faulty.module.calls("C_WrapKey") > 0U);
    const auto state = daemon::StateDirectory::peek(faulty.instance.directory / "state");
    BOOST_REQUIRE(state.memory.highest_epoch.has_value());
    const auto reserved = state.memory.highest_revision;
    faulty.module.clear();
    BOOST_TEST(faulty.instance.once().exit_code == 0);
    const auto ring = faulty.instance.ring();
    BOOST_REQUIRE(ring);
    for (const auto& record : ring->records)
        BOOST_TEST((record->epoch > *state.memory.highest_epoch || record->revision > reserved));
}

// An error at a call: it says so, leaves, and the next run ends the work. Each run makes an RSA pair for the
// probe, so four calls are taken, in a full run a dozen, spread over the whole run and other ones for each
// length of it.
BOOST_AUTO_TEST_CASE(an_error_at_any_call_is_survived) {
    FaultyInstance faulty;
    BOOST_TEST(faulty.instance.once().exit_code == 0);
    fs::remove(faulty.instance.ring_file());
    faulty.module.reset_counts();
    BOOST_TEST(faulty.instance.once().exit_code == 0);
    const auto calls = faulty.module.total_calls();
    BOOST_TEST(calls > 50U);
    std::set<std::string> seen = names(*faulty.instance.ring());
    const unsigned tries = at_full_length() ? 12 : 4;
    unsigned failed = 0;
    for (std::uint64_t nth = 1; nth <= calls; nth += calls / tries) {
        fs::remove(faulty.instance.ring_file());
        faulty.module.fail_nth_call(nth, CKR_DEVICE_ERROR);
        const auto outcome = faulty.instance.once();
        BOOST_TEST((outcome.exit_code == 0 || outcome.exit_code == 75 || outcome.exit_code == 78),
                   "call " << nth << ": exit " << outcome.exit_code << ": " << outcome.output);
        failed += outcome.exit_code == 0 ? 0 : 1;
        faulty.module.clear();
        const auto next = faulty.instance.once();
        BOOST_TEST(next.exit_code == 0, "after call " << nth << ": " << next.output);
        const auto ring = faulty.instance.ring();
        BOOST_REQUIRE(ring);
        BOOST_TEST(sealing_record(*ring, time(nullptr), 0) != nullptr);
        for (const auto& name : names(*ring))
            BOOST_TEST(seen.insert(name).second, "a name came back");
    }
    BOOST_TEST(failed > tries * 5 / 12);
}
