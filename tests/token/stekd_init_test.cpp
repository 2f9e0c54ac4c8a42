// stekctl init: what it makes, with which modes, and what it refuses.
#define BOOST_TEST_MODULE stekd_init
#include "daemon/init.hpp"
#include "stekd_instance.hpp"
#include "tests/fixtures/faulty_module.hpp"

#include <fstream>

#include <boost/test/unit_test.hpp>
#include <sys/stat.h>

namespace fs = std::filesystem;
using namespace stek::test;
using namespace std::chrono_literals;

namespace {

mode_t mode_of(const fs::path& path) {
    struct stat status {};
    BOOST_REQUIRE_MESSAGE(::stat(path.c_str(), &status) == 0, path);
    return status.st_mode & 07777;
}

Outcome init(const fs::path& directory, const Arguments& more = {}) {
    Arguments arguments{STEK_STEKCTL, "init", "--dir", directory};
    // Each option once, for those are not to be repeated.
    for (const auto& [option, value] :
         {std::pair<std::string, std::string>{"--location", "test"}, {"--provider", STEK_MODULE}})
        if (std::find(more.begin(), more.end(), option) == more.end())
            arguments.insert(arguments.end(), {option, value});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
}

}  // namespace

BOOST_AUTO_TEST_CASE(layout_and_modes) {
    const StekdInstance instance;
    const auto& dir = instance.directory;
    BOOST_TEST(mode_of(dir) == 0755U);
    BOOST_TEST(mode_of(dir / "pins") == 0700U);
    BOOST_TEST(mode_of(dir / "state") == 0700U);
    for (const auto* name : {"vault.pin", "vault.so-pin", "ticket.pin", "ticket.so-pin"}) {
        BOOST_TEST(mode_of(dir / "pins" / name) == 0600U);
        BOOST_TEST(fs::file_size(dir / "pins" / name) == 33U);
    }
    BOOST_TEST(read_file(dir / "pins/vault.pin") != read_file(dir / "pins/ticket.pin"));
    BOOST_TEST(mode_of(dir / "run") == 0755U);
    BOOST_TEST(mode_of(dir / "run/stats") == 01770U);
    BOOST_TEST(mode_of(dir / "tokens") == 0750U);
    unsigned closed = 0, readable = 0;
    for (const auto& token : fs::directory_iterator(dir / "tokens"))
        ++(mode_of(token.path()) == 0700 ? closed : readable);
    BOOST_TEST(closed == 1U);
    BOOST_TEST(readable == 1U);
    for (const auto* name : {"softhsm2.conf", "stekd.toml", "openssl.cnf"})
        BOOST_TEST(mode_of(dir / name) == 0644U);
    for (const auto* pin : {"vault.pin", "vault.so-pin", "ticket.pin", "ticket.so-pin"})
        for (const auto* name : {"softhsm2.conf", "stekd.toml", "openssl.cnf"})
            BOOST_TEST(read_file(dir / name).find(read_file(dir / "pins" / pin).substr(0, 32)) ==
                       std::string::npos);
}

BOOST_AUTO_TEST_CASE(nothing_is_overwritten) {
    const StekdInstance instance;
    const auto before = read_file(instance.directory / "pins/vault.pin");
    const auto again = init(instance.directory);
    BOOST_TEST(again.exit_code == 73);
    BOOST_TEST(again.output.find("is there already") != std::string::npos, again.output);
    BOOST_TEST(read_file(instance.directory / "pins/vault.pin") == before);
}

BOOST_AUTO_TEST_CASE(other_files_in_the_directory_do_not_matter) {
    const Workspace space("init");
    const auto dir = space.path() / "d";
    fs::create_directory(dir);
    write_file(dir / "other", "x");
    BOOST_TEST(init(dir).exit_code == 0);
    BOOST_TEST(read_file(dir / "other") == "x");
}

BOOST_AUTO_TEST_CASE(wrong_options_leave_nothing_behind) {
    const Workspace space("init");
    const auto dir = space.path() / "d";
    const struct {
        Arguments more;
        int code;
        const char* text;
    } cases[] = {
        {{"--period", "0"}, 78, "stekctl: --period: must be a whole number from 1"},
        {{"--period", "31622401"}, 78, "stekctl: --period: must be"},
        {{"--session-timeout", "0"}, 78, "stekctl: --session-timeout: must be"},
        {{"--stale-epochs", "49"}, 78, "stekctl: --stale-epochs: must be a whole number from 0 to 48"},
        {{"--period", "1", "--session-timeout", "7200"},
         78,
         "stekctl: --session-timeout: with a period of 1 s"},
        {{"--provider", "/no/such/stek.so"}, 78, "--provider: there is no file /no/such/stek.so"},
        {{"--provider", "/etc"}, 78, "--provider: there is no file /etc"},
        {{"--period", "x"}, 64, "period"},
        {{"--reader", "no-such-user"}, 78, "no user \"no-such-user\""},
        {{"--module", "relative.so"}, 78, "--module"},
        {{"--module", "/no/such/module.so"}, 78, "/no/such/module.so"},
        {{"--provider", "/with space/stek.so"}, 78, "--provider"},
        {{"--location", "a b"}, 78, "--location"},
        {{"--unknown"}, 64, "unknown"},
    };
    for (const auto& wrong : cases) {
        const auto outcome = init(dir, wrong.more);
        BOOST_TEST(outcome.exit_code == wrong.code, wrong.text << ": " << outcome.output);
        BOOST_TEST(outcome.output.find(wrong.text) != std::string::npos, outcome.output);
        BOOST_TEST(!fs::exists(dir), wrong.text);
    }
}

BOOST_AUTO_TEST_CASE(directories_made_on_the_way_go_with_the_rest) {
    const Workspace space("init");
    BOOST_TEST(init(space.path() / "deep/er/d", {"--module", "/etc/passwd"}).exit_code == 78);
    BOOST_TEST(!fs::exists(space.path() / "deep"));
    BOOST_TEST(init(space.path() / "deep/er/d").exit_code == 0);
}

BOOST_AUTO_TEST_CASE(a_directory_in_which_no_stekd_could_run_is_refused) {
    const Workspace space("init");
    const auto dir = space.path() / std::string(110, 'x');
    const auto outcome = init(dir);
    BOOST_TEST(outcome.exit_code == 78);
    BOOST_TEST(outcome.output.find("paths.control: must be 107 bytes at most") != std::string::npos,
               outcome.output);
    BOOST_TEST(!fs::exists(dir));
}

// The second would take the first for one that was killed.
BOOST_AUTO_TEST_CASE(two_at_once_make_one) {
    const Workspace space("init");
    stek::tests::FaultyModule module(space.path());
    module.sleep("C_GenerateKeyPair", 2s);
    const auto dir = space.path() / "d";
    Process first({STEK_STEKCTL, "init", "--dir", dir, "--location", "test", "--provider", STEK_MODULE,
                   "--module", module.path()},
                  {}, space.path() / "log");
    BOOST_REQUIRE(eventually([&] { return module.calls("C_GenerateKeyPair") > 0; }, 60s));
    const auto second = init(dir);
    BOOST_TEST(second.exit_code == 75);
    BOOST_TEST(second.output.find("another stekctl init is at work in ") != std::string::npos, second.output);
    BOOST_REQUIRE(first.wait(120s));
    BOOST_TEST(first.exit_code() == 0);
    BOOST_TEST(fs::exists(dir / "stekd.toml"));
    BOOST_TEST(fs::exists(dir / "pins/vault.pin"));
}

BOOST_AUTO_TEST_CASE(tokens_go_where_no_directory_was) {
    const Workspace space("init");
    BOOST_TEST(init(space.path() / "d", {"--token-dir", space.path() / "deep/er/tokens"}).exit_code == 0);
    BOOST_TEST(fs::is_directory(space.path() / "deep/er/tokens"));
}

// While it makes the second token.
BOOST_AUTO_TEST_CASE(interrupted_it_removes_what_it_has_made) {
    const Workspace space("init");
    stek::tests::FaultyModule module(space.path());
    module.sleep("C_GenerateKeyPair", 1s);
    for (const int signal : {SIGINT, SIGTERM, SIGKILL}) {
        const auto dir = space.path() / "d";
        module.reset_counts();
        Process process({STEK_STEKCTL, "init", "--dir", dir, "--location", "test", "--provider", STEK_MODULE,
                         "--module", module.path()},
                        {}, space.path() / "log");
        BOOST_REQUIRE(eventually([&] { return module.calls("C_GenerateKeyPair") > 0; }, 60s));
        process.signal(signal);
        BOOST_REQUIRE(process.wait(60s));
        BOOST_TEST(!fs::exists(dir / "stekd.toml"), "nobody takes it for a whole one");
        BOOST_TEST(fs::exists(dir) == (signal == SIGKILL));
    }
    module.clear();
    // Of what an option names, nobody knows whose it is.
    const auto others = space.path() / "others";
    fs::create_directory(others);
    write_file(others / "token", "x");
    fs::copy(space.path() / "d", space.path() / "e", fs::copy_options::recursive);
    BOOST_TEST(init(space.path() / "e", {"--token-dir", others}).exit_code == 73);
    BOOST_TEST(read_file(others / "token") == "x");
    const auto again = init(space.path() / "d", {"--module", module.path()});
    BOOST_TEST(again.exit_code == 0, again.output);
    BOOST_TEST(again.output.find("an init was killed in ") != std::string::npos, again.output);
    BOOST_TEST(init(space.path() / "d").exit_code == 73);
}

BOOST_AUTO_TEST_CASE(wrong_numbers_are_seen_before_a_token_is_made) {
    const Workspace space("init");
    const stek::tests::FaultyModule module(space.path());
    for (const auto* option : {"--period", "--session-timeout"})
        BOOST_TEST(init(space.path() / "d", {"--module", module.path(), option, "0"}).exit_code == 78);
    BOOST_TEST(module.calls("C_Initialize") == 0U);
}

BOOST_AUTO_TEST_CASE(a_module_that_does_not_enforce_is_refused) {
    const Workspace space("init");
    stek::tests::FaultyModule module(space.path());
    module.fail("C_SetAttributeValue", CKR_OK);
    const auto outcome = init(space.path() / "d", {"--module", module.path()});
    BOOST_TEST(outcome.exit_code == 70);
    BOOST_TEST(outcome.output.find("do not refuse") != std::string::npos, outcome.output);
    BOOST_TEST(!fs::exists(space.path() / "d"));
}

BOOST_AUTO_TEST_CASE(tokens_of_another_maker_are_left_alone) {
    const Workspace space("init");
    stek::tests::FaultyModule module(space.path());
    module.seem_foreign();
    const auto refused = init(space.path() / "instance", {"--module", module.path()});
    BOOST_TEST(refused.exit_code != 0);
    BOOST_TEST(refused.output.find("tokens of Another maker: init is for SoftHSM") != std::string::npos,
               refused.output);
    BOOST_TEST(module.calls("C_InitToken") == 0U);
    BOOST_TEST(!fs::exists(space.path() / "instance"));
}

BOOST_AUTO_TEST_CASE(the_servers_configuration_loads_both_providers) {
    const StekdInstance instance;
    const auto listed =
        run({"openssl", "list", "-providers"}, {{"OPENSSL_CONF", instance.directory / "openssl.cnf"}});
    BOOST_TEST(listed.exit_code == 0);
    BOOST_TEST(listed.output.find("OpenSSL Default Provider") != std::string::npos, listed.output);
    BOOST_TEST(listed.output.find("PKCS#11 token") != std::string::npos, listed.output);
    const auto config = read_file(instance.directory / "openssl.cnf");
    BOOST_TEST(config.find("\n.include /etc/ssl/openssl.cnf\n") != std::string::npos);
}

// A site that names its sections itself, has a policy, and activates providers of its own.
BOOST_AUTO_TEST_CASE(the_sites_policy_stays_in_force) {
    const StekdInstance instance;
    const auto site = instance.space.path() / "site.cnf";
    write_file(site,
               "openssl_conf = site_init\n[site_init]\nproviders = site_providers\nssl_conf = site_ssl\n"
               "[site_providers]\nlegacy = site_legacy\ndefault = site_default\n[site_legacy]\nactivate = 1\n"
               "[site_default]\n# activate = 1\n[site_ssl]\nsystem_default = site_tls\n"
               "[site_tls]\nCiphersuites = TLS_AES_128_GCM_SHA256\n");
    stek::daemon::InitOptions options;
    options.directory = instance.directory;
    options.location = "test";
    options.module = "/usr/lib/softhsm/libsofthsm2.so";
    options.provider = STEK_MODULE;
    const auto config = instance.space.path() / "openssl.cnf";
    write_file(config, stek::daemon::server_openssl_cnf(options, site));
    const auto listed = run({"openssl", "list", "-providers"}, {{"OPENSSL_CONF", config}});
    for (const auto* name : {"default\n", "legacy\n", "stek\n"})
        BOOST_TEST(listed.output.find(name) != std::string::npos, listed.output);
    const auto ciphers = run({"openssl", "ciphers", "-v"}, {{"OPENSSL_CONF", config}});
    BOOST_TEST(ciphers.output.find("TLS_AES_128_GCM_SHA256") != std::string::npos, ciphers.output);
    BOOST_TEST(ciphers.output.find("TLS_AES_256_GCM_SHA384") == std::string::npos, ciphers.output);
}

BOOST_AUTO_TEST_CASE(no_site_configuration_is_fine) {
    const StekdInstance instance;
    stek::daemon::InitOptions options;
    options.directory = instance.directory;
    options.location = "test";
    options.module = "/usr/lib/softhsm/libsofthsm2.so";
    options.provider = STEK_MODULE;
    const auto config = instance.space.path() / "openssl.cnf";
    write_file(config, stek::daemon::server_openssl_cnf(options, "/nonexistent/openssl.cnf"));
    const auto listed = run({"openssl", "list", "-providers"}, {{"OPENSSL_CONF", config}});
    BOOST_TEST(listed.output.find("stek\n") != std::string::npos, listed.output);
    BOOST_TEST(listed.output.find("default\n") != std::string::npos, listed.output);
}
