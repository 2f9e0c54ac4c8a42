// stekctl doctor on real instances: each finding is provoked once, its remedy is typed where it is a command,
// and then it is gone.
#define BOOST_TEST_MODULE stekctl_doctor
#include "doctor_report.hpp"
#include "stekd_instance.hpp"
#include "tests/fixtures/faulty_module.hpp"
#include "tests/fixtures/nginx.hpp"
#include "tests/fixtures/pki.hpp"

#include <arpa/inet.h>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <sys/socket.h>

namespace fs = std::filesystem;
using namespace stek;
using namespace stek::test;
using namespace std::chrono_literals;

namespace {

std::string loopback(std::uint16_t port) {
    return "127.0.0.1:" + std::to_string(port);
}

struct Patient : StekdInstance {
    using StekdInstance::StekdInstance;
    [[nodiscard]] Report doctor(const Arguments& more = {}) const {
        Arguments arguments{STEK_STEKCTL, "doctor", "--json", "--config", config()};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return Report(run(arguments));
    }
    void start_ready(const Environment& environment = {}) {
        start(environment);
        BOOST_REQUIRE_MESSAGE(says("ready"), log());
    }
    /// The directory of a token, by what stekd's configuration calls it.
    [[nodiscard]] fs::path token(const std::string& label) const {
        for (const auto& entry : fs::directory_iterator(directory / "tokens"))
            if (read_file(entry.path() / "token.object").find(label) != std::string::npos)
                return entry.path();
        throw std::runtime_error("no token " + label);
    }
};

struct Running : Patient {
    Running() { start_ready(); }
};

struct FaultyPatient {
    FaultyPatient()
        : space("faulty"), module(space.path()), instance(3600, 7200, Arguments{"--module", module.path()}) {}
    Workspace space;
    tests::FaultyModule module;
    Patient instance;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_sound_instance, Running) {
    const auto report = doctor();
    for (const auto* subject :
         {"OpenSSL", "configuration", "stekd", "key ring", "reader nobody", "vault PIN", "PKCS#11 module",
          "vault token", "ticket token", "key pairs", "provider", "enforcement", "openssl.cnf"}) {
        report.has("ok", subject);
        report.lacks("error", subject);
        report.lacks("warning", subject);
    }
    const auto table = run({STEK_STEKCTL, "doctor", "--config", config()}).output;
    BOOST_TEST(
        table.find("ok    stekd: it runs as process " + std::to_string(daemon->pid())) != std::string::npos,
        table);
    const auto schema = run({STEK_CHECKS "/check_schema", STEK_CHECKS "/../../docs/doctor.schema.json",
                             STEK_STEKCTL, "doctor", "--config", config(), "--json"},
                            {{"LD_PRELOAD", ""}});  // what Python leaks is not ours
    BOOST_TEST(schema.exit_code == 0, schema.output);
    const auto pin = read_file(directory / "pins/vault.pin");
    BOOST_TEST(table.find(pin.substr(0, 16)) == std::string::npos);
}

BOOST_AUTO_TEST_CASE(nothing_is_changed_and_nobody_logs_in_beside_a_stekd) {
    FaultyPatient faulty;
    const auto before = fingerprint(faulty.instance.directory);
    faulty.instance.doctor().has("ok", "enforcement", "scratch token");
    BOOST_TEST(fingerprint(faulty.instance.directory) == before);
    faulty.instance.start_ready();
    // The second ring, with the next epoch's key, may just be coming.
    BOOST_REQUIRE(eventually([&] { return faulty.instance.ring()->records.size() >= 2; }, 60s));
    faulty.module.reset_counts();
    faulty.instance.doctor().has("ok", "enforcement", "when stekd probed");
    BOOST_TEST(faulty.module.calls("C_Login") == 0U);
    for (const auto* call : {"C_GenerateKeyPair", "C_CreateObject", "C_DestroyObject", "C_InitToken"})
        BOOST_TEST(faulty.module.calls(call) == 0U, call);
}

BOOST_AUTO_TEST_CASE(no_stekd_and_no_ring) {
    Patient patient;
    const auto report = patient.doctor();
    BOOST_TEST(report.remedy("error", "stekd", "does not run") == "stekd --config " + patient.config());
    report.has("error", "key ring", "there is none at " + patient.ring_file());
    patient.start_ready();
    patient.doctor().lacks("error", "stekd");
    patient.doctor().lacks("error", "key ring");
}

BOOST_AUTO_TEST_CASE(rings_that_are_not_right) {
    Patient patient, other;
    BOOST_REQUIRE(other.once().exit_code == 0);
    fs::copy_file(other.ring_file(), patient.ring_file());
    patient.doctor().has("error", "ticket token", "the key ring is for the token of serial ");
    write_file(patient.ring_file(), "not a ring");
    patient.doctor().has("error", "key ring", patient.ring_file());
    patient.edit("location = \"test\"", "location = \"elsewhere\"");
    fs::copy_file(other.ring_file(), patient.ring_file(), fs::copy_options::overwrite_existing);
    patient.doctor().has("error", "key ring", "it is of location test, not elsewhere");
    patient.edit("location = \"elsewhere\"", "location = \"test\"");
    patient.start_ready();
    const auto healed = patient.doctor();
    healed.has("ok", "key ring");
    healed.lacks("error", "ticket token");
}

BOOST_AUTO_TEST_CASE(a_ring_of_another_time) {
    Patient patient(1, 3);
    BOOST_REQUIRE(patient.once().exit_code == 0);
    // Each key seals for a second and for two more while it is stale.
    BOOST_TEST(eventually(
        [&] { return patient.doctor().find("error", "key ring", "none of its keys seals").has_value(); }));
    const Outcome past =
        run({"faketime", "-f", "-2d", STEK_STEKCTL, "doctor", "--json", "--config", patient.config()});
    Report(past).has("warning", "key ring", "in the future");
    patient.start_ready();
    patient.doctor().lacks("error", "key ring");
}

BOOST_FIXTURE_TEST_CASE(the_ring_belongs_on_a_tmpfs, Running) {
    const std::string place = "key ring's place", run_directory = directory / "run";
    const auto doctor_text = std::string(STEK_STEKCTL " doctor --json --config ") + config();
    const auto on_tmpfs = run({"unshare", "--mount", "sh", "-c",
                               "cp " + ring_file() + " " + directory.string() +
                                   "/copy && mount -t tmpfs tmpfs " + run_directory + " && cp " +
                                   directory.string() + "/copy " + ring_file() + " && exec " + doctor_text});
    const Report report(on_tmpfs);
    report.has("ok", "key ring");
    report.lacks("warning", place);
    const auto on_disk = run({"stat", "-f", "-c", "%T", run_directory}).output != "tmpfs\n";
    if (on_disk)
        BOOST_TEST(doctor().remedy("warning", place).find("mount -t tmpfs tmpfs " + run_directory) !=
                   std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(pins, Running) {
    const auto pin = directory / "pins/vault.pin";
    const auto content = read_file(pin);
    fs::permissions(pin, static_cast<fs::perms>(0644));
    heals([&] { return doctor(); }, "error", "vault PIN", "by others");
    write_file(pin, "");
    doctor().has("error", "vault PIN", "is empty");
    fs::remove(pin);
    doctor().has("error", "vault PIN", "No such file");
    write_file(pin, content);
    fs::permissions(pin, static_cast<fs::perms>(0600));
    doctor().has("ok", "vault PIN", pin);
}

BOOST_FIXTURE_TEST_CASE(a_reader_without_its_rights, Running) {
    fs::path pair;
    for (const auto& entry : fs::directory_iterator(token("stekd-ticket")))
        if (entry.path().extension() == ".object" && entry.path().filename() != "token.object")
            pair = entry.path();
    BOOST_REQUIRE(!pair.empty());
    type("setfacl -b " + pair.string());
    heals([&] { return doctor(); }, "error", "reader nobody",
          "cannot read the ticket token's " + pair.string());
    type("setfacl -b " + ring_file());
    heals([&] { return doctor(); }, "error", "reader nobody", "cannot read the key ring");
    type("setfacl -b " + (directory / "run/stats").string());
    heals([&] { return doctor(); }, "warning", "reader nobody", "cannot write its counters");
    fs::remove_all(directory / "run/stats");
    heals([&] { return doctor(); }, "warning", "reader nobody", "cannot write its counters");
    fs::permissions(directory, static_cast<fs::perms>(0700));
    heals([&] { return doctor(); }, "error", "reader nobody", "not let through " + directory.string());
}

BOOST_FIXTURE_TEST_CASE(a_reader_with_more_than_its_rights, Running) {
    type("setfacl -m u:nobody:rw " + ring_file());
    heals([&] { return doctor(); }, "error", "reader nobody", "can change the key ring");
    type("setfacl -m u:nobody:rwx " + (directory / "run").string());
    heals([&] { return doctor(); }, "error", "reader nobody", "can put another key ring in place");
    const auto vault = token("stekd-vault");
    type("setfacl -m u:nobody:rx " + vault.string());
    heals([&] { return doctor(); }, "error", "reader nobody", "can read " + vault.string());
    fs::permissions(directory / "pins", static_cast<fs::perms>(0755));
    heals([&] { return doctor(); }, "error", "reader nobody", "can read " + (directory / "pins").string());
    fs::permissions(directory / "state", static_cast<fs::perms>(0755));
    heals([&] { return doctor(); }, "error", "reader nobody", "can read " + (directory / "state").string());
    doctor().has("ok", "reader nobody");
}

BOOST_FIXTURE_TEST_CASE(others_with_any_rights, Running) {
    doctor().lacks("error", "others");
    fs::permissions(ring_file(), fs::perms::others_read, fs::perm_options::add);
    heals([&] { return doctor(); }, "error", "others", "anybody may read " + ring_file());
    fs::permissions(ring_file(), fs::perms::others_write, fs::perm_options::add);
    heals([&] { return doctor(); }, "error", "others", "anybody may write to " + ring_file());
    const auto run = directory / "run";
    fs::permissions(run, fs::perms::others_write, fs::perm_options::add);
    heals([&] { return doctor(); }, "error", "others", "anybody may write to " + run.string());
    const auto ticket = token("stekd-ticket");
    fs::permissions(directory / "tokens", fs::perms::others_exec, fs::perm_options::add);
    fs::permissions(ticket, fs::perms::others_exec, fs::perm_options::add);
    fs::permissions(ticket / "token.object", fs::perms::others_read, fs::perm_options::add);
    heals([&] { return doctor(); }, "error", "others",
          "anybody may read " + (ticket / "token.object").string());
}

// As another stekd would take them for strays.
BOOST_FIXTURE_TEST_CASE(key_pairs_that_are_gone, Running) {
    const auto ticket = token("stekd-ticket");
    for (const auto& file : object_files(ticket))
        fs::remove(ticket / file);
    heals([&] { return doctor(); }, "error", "key pairs",
          "not in the ticket token, though the key ring names them: ");
    doctor().has("ok", "key pairs");
    edit("private_pairs = false", "private_pairs = true");
    doctor().has("note", "key pairs", "takes a login");
}

BOOST_AUTO_TEST_CASE(readers_that_are_none) {
    const Patient patient;
    patient.edit("[\"nobody\"]", "[\"no-such-user\"]");
    patient.doctor().has("error", "readers", "there is no user no-such-user");
    patient.edit("[\"no-such-user\"]", "[\"root\"]");
    patient.doctor().has("warning", "reader root");
    patient.edit("[\"root\"]", "[]");
    patient.doctor().has("warning", "readers", "there are none");
    patient.edit("[]", "[\"nobody\"]");
    patient.doctor().has("ok", "reader nobody");
}

BOOST_AUTO_TEST_CASE(modules_providers_and_tokens) {
    const Patient patient;
    const auto toml = read_file(patient.config());
    for (int uris = 0; uris < 2; ++uris)
        patient.edit("/usr/lib/softhsm/libsofthsm2.so", "/etc/hostname");
    patient.doctor().has("error", "PKCS#11 module", "/etc/hostname");
    write_file(patient.config(), toml);
    patient.edit(STEK_MODULE, "/no/such/stek.so");
    patient.doctor().has("error", "provider", "/no/such/stek.so");
    patient.doctor().has("error", "openssl.cnf");
    write_file(patient.config(), toml);
    const auto tokens = patient.directory / "tokens";
    fs::rename(tokens, patient.directory / "elsewhere");
    fs::create_directory(tokens);
    patient.doctor().has("error", "vault token", "stekd-vault");
    patient.doctor().has("error", "ticket token", "stekd-ticket");
    fs::remove(tokens);
    const auto none = patient.doctor();
    BOOST_TEST(none.remedy("error", "tokens", "there is no " + tokens.string())
                   .ends_with("stekctl init --dir " + patient.directory.string() + " --location test"));
    none.lacks("error", "PKCS#11 module");
    fs::rename(patient.directory / "elsewhere", tokens);
    const auto healed = patient.doctor();
    for (const auto* subject : {"PKCS#11 module", "provider", "openssl.cnf", "vault token", "ticket token"})
        healed.has("ok", subject);
}

BOOST_AUTO_TEST_CASE(a_token_that_does_not_enforce) {
    FaultyPatient faulty;
    faulty.module.fail("C_SetAttributeValue", CKR_OK);
    faulty.instance.doctor().has("error", "enforcement", "do not refuse");  // the scratch token
    BOOST_REQUIRE(faulty.instance.once().exit_code == 78);
    faulty.instance.doctor().has("error", "enforcement", "when stekd last probed");
    faulty.instance.edit("\n\n[vault]", "\nallow_weak_token = true\n\n[vault]");
    faulty.instance.start_ready();
    faulty.instance.doctor().has("warning", "enforcement", "allowed by allow_weak_token");
    faulty.module.clear();
    faulty.instance.start_ready();
    faulty.instance.doctor().has("ok", "enforcement");
}

BOOST_AUTO_TEST_CASE(a_stekd_in_trouble) {
    FaultyPatient faulty;
    faulty.instance.start_ready();
    faulty.module.fail_all_calls(CKR_DEVICE_ERROR);
    run({STEK_STEKCTL, "rotate", "--config", faulty.instance.config()});
    BOOST_TEST(eventually(
        [&] { return faulty.instance.doctor().find("error", "stekd", "in trouble").has_value(); }, 30s));
    faulty.module.clear();
    BOOST_TEST(
        eventually([&] { return !faulty.instance.doctor().find("error", "stekd", "in trouble"); }, 60s));
}

BOOST_AUTO_TEST_CASE(a_wrong_configuration_is_a_finding_and_the_rest_goes_on) {
    const Patient patient;
    patient.edit("period = 3600", "period = 0");
    const ReservedPort port;
    const auto report = patient.doctor({loopback(port.number())});
    report.has("error", "configuration", "stekd.toml:2: period: ");
    report.has("ok", "OpenSSL");
    report.has("error", loopback(port.number()), "Connection refused");
    const auto none = run({STEK_STEKCTL, "doctor", "--json", "--config", "/no/such/stekd.toml"});
    BOOST_TEST(Report(none).remedy("error", "configuration").find("stekctl init") != std::string::npos);
    for (const auto* bad : {"localhost", "localhost:0", "::1:443", "localhost:http"})
        BOOST_TEST(run({STEK_STEKCTL, "doctor", bad}).exit_code == 64, bad);
    BOOST_TEST(run({STEK_STEKCTL, "doctor", "--no-such-option"}).exit_code == 64);
}

// --- servers and their tickets ---

namespace {

struct WithNginx : Patient {
    WithNginx()
        : Patient(3600, 7200, Arguments{"--reader", "www-data"}),
          pki(space.subdirectory("pki")),
          identity(pki.server("www", {"www.stek.test"})) {
        start_ready();
    }
    [[nodiscard]] ServerSetup setup(const fs::path& openssl_conf) {
        return {space.subdirectory("nginx"), openssl_conf, identity, pki.authority()};
    }
    [[nodiscard]] static std::string master(const Nginx& nginx) { return std::to_string(nginx.master()); }

    Pki pki;
    Identity identity;
};

constexpr const char* versions[] = {", TLS 1.3", ", TLS 1.2"};

}  // namespace

BOOST_FIXTURE_TEST_CASE(an_nginx_with_the_provider, WithNginx) {
    Nginx nginx(setup(directory / "openssl.cnf"));
    nginx.start();
    const auto at = loopback(nginx.port());
    const auto report = doctor({at});
    for (const auto* version : versions) {
        report.has("ok", at + version, "its ticket is under key ");
        report.has("ok", at + version, "8 of 8 connections resumed");
    }
    report.lacks("error", "nginx", master(nginx));
    // Its sessions live 300 s, and it says so.
    edit("session_timeout = 7200", "session_timeout = 60");
    const auto narrow = doctor({"--servername", "www.stek.test", at});
    narrow.has("warning", "nginx", "its sessions live 300 s (its default)");
    for (const auto* version : versions)
        BOOST_TEST(narrow.remedy("warning", at + version, "keep tickets for 300 s")
                       .starts_with("session_timeout = 300"));
    edit("period = 3600", "period = 1");
    const auto short_epochs = doctor({at});
    for (const auto& [subject, part] :
         {std::pair(std::string("nginx"), "its sessions live"), {at + versions[0], "keep tickets for"}})
        BOOST_TEST(short_epochs.remedy("warning", subject, part).find("and a longer period") !=
                   std::string::npos);
    edit("period = 1", "period = 3600");
    edit("session_timeout = 60", "session_timeout = 300");
    const auto wide = doctor({at});
    wide.lacks("warning", "nginx", "its sessions live");
    wide.lacks("warning", at + versions[0]);
}

BOOST_FIXTURE_TEST_CASE(an_nginx_without_the_provider, WithNginx) {
    Nginx nginx(setup({}));
    nginx.start();
    const auto at = loopback(nginx.port());
    const auto report = doctor({at});
    BOOST_TEST(report.remedy("error", "nginx", master(nginx)) == "systemctl restart nginx");
    report.has("error", at + versions[0], "under no key of this machine's ring");
    report.has("error", at + versions[1], "under no key of this machine's ring");
}

BOOST_FIXTURE_TEST_CASE(a_provider_that_was_replaced, WithNginx) {
    const auto copy = directory / "stek.so";
    fs::copy_file(STEK_MODULE, copy);
    edit(STEK_MODULE, copy);
    auto conf = read_file(directory / "openssl.cnf");
    conf.replace(conf.find(STEK_MODULE), std::string(STEK_MODULE).size(), copy);
    write_file(directory / "openssl.cnf", conf);
    Nginx nginx(setup(directory / "openssl.cnf"));
    nginx.start();
    doctor().lacks("warning", "nginx", "replaced");
    fs::copy_file(copy, directory / "new.so");
    fs::rename(directory / "new.so", copy);
    BOOST_TEST(doctor().find("warning", "nginx", master(nginx)).has_value());
    nginx.restart();
    doctor().lacks("warning", "nginx", "replaced");
}

BOOST_AUTO_TEST_CASE(a_port_that_says_nothing) {
    const Patient patient;
    const ReservedPort port;
    const Socket listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port.number());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    BOOST_REQUIRE(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    BOOST_REQUIRE(::listen(listener.get(), 8) == 0);
    const auto begun = std::chrono::steady_clock::now();
    patient.doctor({loopback(port.number())})
        .has("error", loopback(port.number()), "no answer to a TLS handshake");
    BOOST_TEST((std::chrono::steady_clock::now() - begun < 20s));
    patient.doctor({"no.such.host.invalid:443"}).has("error", "no.such.host.invalid:443", "no connection");
}
