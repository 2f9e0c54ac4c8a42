// stekctl doctor at the parties of a fleet: each finding is provoked once, its remedy is typed where it is a
// command, and then it is gone.
#define BOOST_TEST_MODULE fleet_doctor_findings
#include "fleet_patients.hpp"
#include "provider/key_ring.hpp"

namespace fs = std::filesystem;
using namespace stek::tests;
using namespace std::chrono_literals;
using stek::test::eventually;
using stek::test::read_file;
using stek::test::Report;
using stek::test::write_file;
namespace test = stek::test;

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
    // It is written once more for each epoch that is prepared, three of them, and has its rights each time.
    BOOST_REQUIRE(eventually(
        [&] {
            const auto ring = stek::read_ring_file(keyring("m1"));
            return ring != nullptr && ring->records.size() == 4;
        },
        60s));
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
    Fleet fleet({NatsHost{}});
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

// Who may see less is told so; what he does not see is not said to be wrong.
BOOST_FIXTURE_TEST_CASE(who_is_not_root, Whole) {
    start_all();
    const Report report(test::run(
        {"runuser", "-u", "nobody", "--", STEK_STEKCTL, "doctor", "--json", "--config", config("m1")}));
    for (const auto* subject : {"doctor", "stekd", "key ring", "machine token", "lists"})
        report.has("note", subject);
    report.has("ok", "fleet");
    report.is_silent_of("machine");
}
