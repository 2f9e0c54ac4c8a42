// stekctl doctor at the parties of a fleet that are well, one of each role.
#define BOOST_TEST_MODULE fleet_doctor
#include "fleet_patients.hpp"
#include "tests/fixtures/faulty_module.hpp"
#include "tests/fixtures/nginx.hpp"
#include "tests/fixtures/pki.hpp"

namespace fs = std::filesystem;
using namespace stek::tests;
using namespace std::chrono_literals;
using stek::test::eventually;
namespace test = stek::test;

namespace {

const Arguments of_machines_only{"key ring",    "readers",     "ticket token", "ticket PIN", "key pairs",
                                 "enforcement", "openssl.cnf", "servers",      "nginx"};

}  // namespace

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
