// stekctl doctor at the parties of a fleet, on real tokens: one of each role that is well, and each finding
// of a fleet's provoked once.
#define BOOST_TEST_MODULE fleet_doctor
#include "doctor_report.hpp"
#include "tests/fixtures/faulty_module.hpp"
#include "tests/fixtures/fleet_programs.hpp"
#include "tests/fixtures/nginx.hpp"
#include "tests/fixtures/pki.hpp"

namespace fs = std::filesystem;
using namespace stek;
using namespace stek::tests;
using namespace std::chrono_literals;
using test::eventually;
using test::read_file;
using test::Report;
using test::write_file;

namespace {

struct Fleet : FleetPrograms {
    explicit Fleet(unsigned nats_servers = 0) : FleetPrograms(3600, 7200, "engine", nats_servers) {
        add_root();
        init();
    }
    void add_origin_that_is_enrolled(const std::string& name = "o1") {
        add_origin(name);
        enroll_and_approve("origin", name, "root");
    }
    void add_vault_with_a_chain() {
        add_vault("v1", "fra1");
        enroll_and_approve("location", "v1", "root");
        fs::create_directory(in("shares"));
        done({"ceremony", "make"}, "v1", {"--out-dir", in("shares")});
    }
    [[nodiscard]] Report doctor(const std::string& name, const Arguments& more = {}) const {
        Arguments arguments{STEK_STEKCTL, "doctor", "--json", "--config", config(name)};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return Report(test::run(arguments));
    }
    [[nodiscard]] auto doctor_of(const std::string& name) const {
        return [this, name] { return doctor(name); };
    }
    void start(const std::string& name) {
        running[name] = std::make_unique<test::Process>(Arguments{STEK_STEKD, "--config", config(name)},
                                                        test::Environment{}, in(name + ".log"));
    }
    void start_ready(const std::string& name) {
        start(name);
        await_ready(name);
    }
    void await_ready(const std::string& name) const {
        BOOST_REQUIRE_MESSAGE(eventually([&] { return log(name).find("ready: ") != std::string::npos; }, 60s),
                              log(name));
    }
    [[nodiscard]] std::string log(const std::string& name) const { return read_file(in(name + ".log")); }
    void edit(const std::string& name, const std::string& from, const std::string& to) const {
        auto text = read_file(config(name));
        BOOST_REQUIRE(text.find(from) != std::string::npos);
        replace_all(text, from, to);
        write_file(config(name), text);
    }

    std::map<std::string, std::unique_ptr<test::Process>> running;
};

struct Origin : Fleet {
    Origin() { add_origin_that_is_enrolled(); }
};

/// One party of each role; the machine has a reader, and servers with the provider.
struct Whole : Origin {
    Whole() {
        add_vault_with_a_chain();
        add_machine("m1", "fra1", "readers = [\"www-data\"]\n");
        write_file(config("m1"), read_file(config("m1")) + "server_config = \"" + openssl_conf() + "\"\n");
        write_file(openssl_conf(),
                   "openssl_conf = init\n[init]\nproviders = providers\n[providers]\n"
                   "default = standard\nstek = stek\n[standard]\nactivate = 1\n[stek]\n"
                   "activate = 1\nmodule = " STEK_MODULE "\nkeyring = " +
                       keyring("m1") + "\nmodule-config = " + softhsm.conf().string() +
                       "\ntoken = \"pkcs11:token=m1-ticket?module-path=" + softhsm_module + "\"\n");
        for (const auto& directory : {softhsm.directory(), softhsm.tokens()})
            fs::permissions(directory, static_cast<fs::perms>(0755));  // for www-data
        enroll_and_approve("machine", "m1", "v1");
    }
    [[nodiscard]] std::string openssl_conf() const { return in("openssl.cnf"); }
    // The vault first: origins seal to the pre-keys that it leaves.
    void start_all() {
        start("v1");
        BOOST_REQUIRE(eventually([&] { return fs::exists(engine("stek-prekeys")); }, 60s));
        start("o1");
        start("m1");
        for (const auto* name : {"o1", "v1", "m1"})
            await_ready(name);
        BOOST_REQUIRE(eventually([&] { return fs::exists(keyring("m1")); }, 60s));
    }
};

void is_well(const Report& report, const Arguments& subjects) {
    for (const auto& subject : subjects) {
        report.has("ok", subject);
        report.lacks("warning", subject);
        report.lacks("error", subject);
    }
}

const Arguments of_machines_only{"key ring",    "readers",     "ticket token", "ticket PIN", "key pairs",
                                 "enforcement", "openssl.cnf", "servers",      "nginx"};

}  // namespace

// --- parties that are well ---

BOOST_FIXTURE_TEST_CASE(a_fleet_that_is_well, Whole) {
    start_all();
    // Until the machine has its keys, and the origin has seen the pre-keys.
    BOOST_TEST(eventually(
        [&] {
            return doctor("m1").find("ok", "key ring", "it can seal for") &&
                   doctor("v1").find("ok", "location", "for 1 machines") &&
                   !doctor("o1").find("warning", "origin");
        },
        60s));

    const auto origin = doctor("o1");
    is_well(origin, {"OpenSSL", "configuration", "stekd", "origin PIN", "PKCS#11 module", "origin token",
                     "fleet", "engine", "origin"});
    origin.has("ok", "origin", "origin o1 is number 1 of list 3 of the fleet");
    origin.has("ok", "origin", "bundles up to epoch ");
    for (const auto& subject : of_machines_only)
        origin.is_silent_of(subject);
    origin.is_silent_of("provider");

    const auto vault = doctor("v1");
    is_well(vault, {"stekd", "vault PIN", "vault token", "provider", "fleet", "engine", "location"});
    vault.has("ok", "location", "vault v1 of location fra1 is number 2 of list 3 of the fleet");
    vault.has("ok", "location", "pre-keys left");
    for (const auto& subject : of_machines_only)
        vault.is_silent_of(subject);

    const auto machine = doctor("m1");
    is_well(machine, {"stekd", "machine PIN", "machine token", "ticket token", "key ring", "reader www-data",
                      "key pairs", "enforcement", "provider", "openssl.cnf", "fleet", "engine", "machine"});
    machine.has("ok", "machine", "machine m1 of location fra1 is number 1 of list 1 of location fra1");

    const auto table = test::run({STEK_STEKCTL, "doctor", "--config", config("m1")}).output;
    BOOST_TEST(table.find("ok    engine: directory " + in("engine")) != std::string::npos, table);
    const auto schema = test::run({STEK_CHECKS "/check_schema", STEK_CHECKS "/../../docs/doctor.schema.json",
                                   STEK_STEKCTL, "doctor", "--config", config("m1"), "--json"},
                                  {{"LD_PRELOAD", ""}});  // what Python leaks is not ours
    BOOST_TEST(schema.exit_code == 0, schema.output);
}

BOOST_FIXTURE_TEST_CASE(the_tickets_of_a_machine_s_server, Whole) {
    start_all();
    test::Pki pki(workspace.subdirectory("pki"));
    test::Nginx nginx({workspace.subdirectory("nginx"), openssl_conf(), pki.server("www", {"www.stek.test"}),
                       pki.authority()});
    BOOST_REQUIRE(
        eventually([&] { return doctor("m1").find("ok", "key ring", "it can seal for").has_value(); }, 60s));
    nginx.start();
    const auto at = "127.0.0.1:" + std::to_string(nginx.port());
    const auto by_machine = doctor("m1", {at});
    by_machine.has("ok", at + ", TLS 1.3", "its ticket is under key ");
    by_machine.has("ok", at + ", TLS 1.3", "8 of 8 connections resumed");
    by_machine.lacks("error", "nginx", std::to_string(nginx.master()));
    // Who has no ring sees that there are tickets, and not whose.
    const auto by_origin = doctor("o1", {at});
    by_origin.has("note", at + ", TLS 1.3", "without a key ring it is not known whose");
    by_origin.has("ok", at + ", TLS 1.3", "8 of 8 connections resumed");
    by_origin.is_silent_of("nginx");
    // Of a fleet, one file is not enough.
    edit("m1", "session_timeout = 7200", "session_timeout = 60");
    BOOST_TEST(doctor("m1", {at})
                   .remedy("warning", at + ", TLS 1.3", "keep tickets for 300 s")
                   .starts_with("session_timeout = 300 in stekd.toml of each party of the fleet"));
}

BOOST_FIXTURE_TEST_CASE(who_has_the_root_key, Fleet) {
    const auto report = doctor("root");
    is_well(report, {"configuration", "fleet", "engine"});
    for (const auto* subject : {"stekd", "key ring", "origin", "location", "machine"})
        report.is_silent_of(subject);
}

// As in docs/fleet-setup.md: one file, one token for all roles.
BOOST_FIXTURE_TEST_CASE(several_roles_in_a_file_and_nobody_logs_in, Fleet) {
    FaultyModule module(softhsm.directory());
    const auto ticket = softhsm.make_token("ticket");
    write_config("all", "[origin]\nname = \"o\"\nuri = \"" + pinned("own") +
                            "\"\n[location]\nname = \"fra1\"\nvault = \"v\"\nuri = \"" + pinned("own") +
                            "\"\n[machine]\nname = \"m\"\nuri = \"" + pinned("own") + "\"\nticket = \"" +
                            SoftHsm::uri(ticket) + "\"\nprivate_pairs = false\nkeyring = \"" + keyring("m") +
                            "\"\n");
    edit("all", softhsm_module, module.path());
    for (const auto* role : {"origin", "location"})
        enroll_and_approve(role, "all", "root");
    enroll_and_approve("machine", "all", "all");
    fs::create_directory(in("shares"));
    done({"ceremony", "make"}, "all", {"--out-dir", in("shares")});

    const auto files = [&] {
        return test::fingerprint(workspace.path()) + test::fingerprint(softhsm.tokens());
    };
    const auto before = files();
    doctor("all").has("error", "stekd", "it does not run");
    BOOST_TEST(files() == before);

    start_ready("all");
    BOOST_REQUIRE(eventually(
        [&] { return doctor("all").find("ok", "key ring", "it can seal for").has_value(); }, 120s));
    module.reset_counts();
    const auto report = doctor("all");
    is_well(report, {"stekd", "origin token", "vault token", "machine token", "ticket token", "location",
                     "machine", "enforcement"});
    report.has("ok", "origin", "origin o is number 1 of list 3 of the fleet");
    // Its first bundles are from before its vault's first run.
    report.has("warning", "origin", "vaults that leave no pre-keys: 1;");
    report.has("warning", "readers", "there are none");
    BOOST_TEST(module.calls("C_Login") == 0U);
    for (const auto* call : {"C_GenerateKeyPair", "C_CreateObject", "C_DestroyObject", "C_InitToken"})
        BOOST_TEST(module.calls(call) == 0U, call);
    BOOST_TEST(module.calls("C_OpenSession") > 0U);
}

// --- and what may be wrong ---

BOOST_FIXTURE_TEST_CASE(no_stekd, Origin) {
    const auto report = doctor("o1");
    BOOST_TEST(report.remedy("error", "stekd", "does not run") == "stekd --config " + config("o1"));
    report.has("ok", "origin", "is number 1 of list 2");  // by the engine's
    start_ready("o1");
    doctor("o1").lacks("error", "stekd");
}

BOOST_FIXTURE_TEST_CASE(an_engine_that_is_gone, Origin) {
    start_ready("o1");
    fs::rename(in("engine"), in("away"));
    const auto gone = doctor("o1");
    BOOST_TEST(gone.remedy("error", "engine", "there is no directory " + in("engine"))
                   .find("engine.directory in " + config("o1")) != std::string::npos);
    gone.has("ok", "origin", "is number 1 of list 2");  // by the one that it keeps
    fs::create_directory(in("engine"));
    running.clear();  // or it puts its own list back
    doctor("o1").has("warning", "engine", "does not hold the fleet's list");
    fs::remove(in("engine"));
    fs::rename(in("away"), in("engine"));
    is_well(doctor("o1"), {"engine"});
}

BOOST_FIXTURE_TEST_CASE(who_is_not_enrolled, Fleet) {
    add_origin("o1");
    BOOST_TEST(doctor("o1")
                   .remedy("error", "origin", "origin o1 is not in list 1 of the fleet")
                   .find("stekctl fleet enroll origin --config " + config("o1")) != std::string::npos);
    const auto fingerprint = enroll("origin", "o1");
    doctor("o1").has("error", "origin", "origin o1 is not in list 1 of the fleet");
    BOOST_REQUIRE(approve("o1", "root", fingerprint).exit_code == 0);
    doctor("o1").has("ok", "origin", "origin o1 is number 1 of list 2 of the fleet");

    // A token that was made anew, of the same name.
    const auto toml = read_file(config("o1"));
    const auto other = pinned("other");
    edit("o1", pinned("o1"), other);
    BOOST_TEST(doctor("o1")
                   .remedy("error", "origin", "does not have the keys that are named there")
                   .find("set another origin.name in " + config("o1")) != std::string::npos);
    write_file(config("o1"), toml);

    done({"retire", "o1"}, "root");
    BOOST_TEST(doctor("o1")
                   .remedy("error", "origin", "origin o1 is retired by list 3 of the fleet")
                   .starts_with("set another origin.name"));

    add_machine("m1", "fra1");
    BOOST_TEST(doctor("m1")
                   .remedy("error", "machine", "no list of location fra1 is known")
                   .find("at a vault of location fra1: stekctl fleet approve") != std::string::npos);
    write_config("o1-again", "[origin]\nname = \"o1\"\nuri = \"" + pinned("o1") +
                                 "\"\n[machine]\nname = \"o1\"\n" + "location = \"fra1\"\nuri = \"" +
                                 pinned("o1") + "\"\nticket = \"" + pinned("m1-ticket") + "\"\nkeyring = \"" +
                                 keyring("o1") + "\"\n");
    doctor("o1-again").has("error", "machine", "machine o1 of location fra1 is not enrolled");
}

BOOST_FIXTURE_TEST_CASE(no_root_key_and_another_s, Origin) {
    start_ready("o1");
    running.clear();
    const auto pem = read_file(in("root.pem"));
    fs::remove(in("root.pem"));
    const auto none = doctor("o1");
    none.has("error", "fleet", "engine.root: cannot read " + in("root.pem"));
    none.has("ok", "engine");
    none.is_silent_of("origin");
    write_file(in("root.pem"), "no key");
    doctor("o1").has("error", "fleet", "must be the fleet's root.pem");
    const Fleet other;
    write_file(in("root.pem"), read_file(other.in("root.pem")));
    auto arguments = Arguments{STEK_STEKCTL, "doctor", "--config", config("o1")};
    check_outcome(test::run(arguments), 2,
                  "FAIL  lists: " + in("o1.state") + "/fleet.list is damaged, or not of");
    write_file(in("root.pem"), pem);
    doctor("o1").lacks("error", "lists");
}

BOOST_FIXTURE_TEST_CASE(pins_of_a_party, Whole) {
    for (const auto& [name, subject] : std::map<std::string, std::string>{
             {"o1", "origin PIN"}, {"v1", "vault PIN"}, {"m1", "machine PIN"}}) {
        const auto file = token(name).pin_file;
        fs::permissions(file, static_cast<fs::perms>(0644));
        test::heals(doctor_of(name), "error", subject, "by others");
        doctor(name).has("ok", subject, file);
        const auto content = read_file(file);
        fs::remove(file);
        doctor(name).has("error", subject, "No such file");
        write_file(file, content);
        fs::permissions(file, static_cast<fs::perms>(0600));
    }
}

BOOST_FIXTURE_TEST_CASE(tokens_and_modules_of_a_party, Whole) {
    for (const auto& [name, subject] : std::map<std::string, std::string>{
             {"o1", "origin token"}, {"v1", "vault token"}, {"m1", "machine token"}}) {
        doctor(name).has("ok", subject, name + ", serial ");
        fs::rename(token(name).directory, in("away"));
        BOOST_TEST(doctor(name).remedy("error", subject).find("put its files back below") == 0U);
        fs::rename(in("away"), token(name).directory);
    }
    edit("v1", STEK_MODULE, "/no/such/stek.so");
    doctor("v1").has("error", "provider", "/no/such/stek.so");
    edit("o1", softhsm_module, "/etc/hostname");
    BOOST_TEST(
        doctor("o1").remedy("error", "PKCS#11 module", "/etc/hostname").find("module-path in origin.uri") !=
        std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_machine_without_its_ring_and_a_reader_without_its_rights, Whole) {
    doctor("m1").has("error", "key ring", "there is none at " + keyring("m1"));
    start_all();
    const auto doctor_m1 = doctor_of("m1");
    BOOST_REQUIRE(
        eventually([&] { return doctor_m1().find("ok", "key ring", "it can seal for").has_value(); }, 60s));
    is_well(doctor_m1(), {"reader www-data"});
    test::type("setfacl -b " + keyring("m1"));
    test::heals(doctor_m1, "error", "reader www-data", "cannot read the key ring");
    test::type("setfacl -m u:www-data:rw " + keyring("m1"));
    test::heals(doctor_m1, "error", "reader www-data", "can change the key ring");
    test::type("setfacl -m u:www-data:rx " + token("m1").directory.string());
    test::heals(doctor_m1, "error", "reader www-data", "can read " + token("m1").directory.string());
    // A machine need not name the provider.
    edit("m1", "provider = \"" STEK_MODULE "\"\n", "");
    const auto report = doctor_m1();
    report.has("note", "servers", "does not name the provider");
    report.is_silent_of("nginx");
}

BOOST_FIXTURE_TEST_CASE(what_stekd_says_of_its_roles, Origin) {
    add_vault_with_a_chain();
    start_ready("o1");  // before the vault has left anything
    BOOST_TEST(doctor("o1")
                   .remedy("warning", "origin", "vaults that leave no pre-keys: 1;")
                   .starts_with("stekctl fleet status --config " + config("o1")));
    start_ready("v1");
    BOOST_TEST(doctor("v1")
                   .remedy("warning", "location", "no machine of location fra1 is enrolled")
                   .find("stekctl fleet approve --config " + config("v1")) != std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_engine_of_nats) {
    Fleet fleet(1);
    fleet.add_origin_that_is_enrolled();
    const auto doctor = fleet.doctor_of("o1");
    is_well(doctor(),
            {"engine", "authority certificate", "origin certificate", "origin certificate's key", "origin"});
    const auto tls = fleet.tls("o1");
    fs::permissions(tls + "/origin.key", static_cast<fs::perms>(0644));
    test::heals(doctor, "error", "origin certificate's key", "by others");
    fs::rename(tls + "/authority.crt", fleet.in("authority.crt"));
    doctor().has("error", "authority certificate", tls + "/authority.crt");
    fs::rename(fleet.in("authority.crt"), tls + "/authority.crt");

    fleet.certify("origin", "o1", 20);
    BOOST_TEST(doctor()
                   .remedy("warning", "origin certificate", "expires in ")
                   .find("stekctl fleet certify REQUEST") != std::string::npos);
    fleet.certify("origin", "o1");
    is_well(doctor(), {"origin certificate", "engine"});
    const auto expired = Report(test::run(
        {"faketime", "-f", "+400d", STEK_STEKCTL, "doctor", "--json", "--config", fleet.config("o1")}));
    expired.has("error", "origin certificate", "origin.crt has expired");
    fs::rename(tls + "/origin.crt", fleet.in("origin.crt"));
    doctor().has("error", "origin certificate", tls + "/origin.crt");
    fs::rename(fleet.in("origin.crt"), tls + "/origin.crt");
    is_well(doctor(), {"origin certificate", "engine"});

    fleet.nats->stop(0);
    BOOST_TEST(
        doctor().remedy("error", "engine", "no connection to NATS").find("systemctl start nats-server") !=
        std::string::npos);
}
