// stekd.toml of a fleet's parties, and of who has the root key.
#define BOOST_TEST_MODULE fleet_config
#include "daemon/fleet/any_config.hpp"
#include "daemon/fleet/config.hpp"
#include "tests/fixtures/workspace.hpp"

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::fleet;
using daemon::ConfigError;

namespace {

const std::string engine = "[engine]\ndirectory = \"/srv/stek/fleet\"\nroot = \"/etc/stekd/root.pem\"\n";
const std::string paths = "[paths]\nstate = \"/var/lib/stekd\"\nprovider = \"/stek.so\"\n";

std::string uri(const std::string& token, const std::string& module = "/m.so") {
    return "uri = \"pkcs11:token=" + token + "?module-path=" + module + "\"\n";
}

struct Scene {
    std::string write(const std::string& text) const {
        const auto file = workspace.path() / "stekd.toml";
        test::write_file(file, text);
        return file;
    }
    void check_refused(const std::string& text, const std::string& why) const {
        BOOST_CHECK_EXCEPTION(load_fleet_config(write(text)), ConfigError, [&](const ConfigError& error) {
            BOOST_TEST_INFO(error.what());
            return std::string(error.what()).find(why) != std::string::npos;
        });
    }
    test::Workspace workspace{"fleet-config"};
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_root_alone, Scene) {
    const auto config = load_fleet_config(write(engine + "[root]\n" + uri("root") + paths));
    BOOST_TEST(config.root_token.has_value());
    BOOST_TEST(config.root == "/etc/stekd/root.pem");
    BOOST_TEST(config.module_path() == "/m.so");
    BOOST_TEST(!config.has_role());
    BOOST_CHECK_THROW(require_role(config), ConfigError);
}

BOOST_FIXTURE_TEST_CASE(the_root_beside_a_role, Scene) {
    const std::string location = "[location]\nname = \"fra1\"\nvault = \"v1\"\n" + uri("v1");
    const auto config = load_fleet_config(write(engine + "[root]\n" + uri("v1") + location + paths));
    BOOST_TEST(config.root_token.has_value());
    BOOST_CHECK_NO_THROW(require_role(config));
    check_refused(engine + "[root]\n" + uri("root", "/other.so") + location + paths,
                  "root.uri: must have the same module-path");
}

BOOST_FIXTURE_TEST_CASE(what_is_refused, Scene) {
    check_refused(engine + paths, "there must be a role beside it");
    check_refused(engine + "[root]\n" + paths, "root.uri: is missing");
    check_refused(engine + "[root]\n" + uri("root") + "name = \"x\"\n" + paths, "root.name: unknown key");
    check_refused(engine + "[root]\nuri = \"pkcs11:token=root\"\n" + paths, "module-path");
    check_refused("[root]\n" + uri("root") + paths, "engine: is missing");
}

BOOST_FIXTURE_TEST_CASE(either_kind_for_commands_that_are_the_same, Scene) {
    const auto party = load_any_config(write(engine + "[origin]\nname = \"o1\"\n" + uri("o1") + paths +
                                             "control = \"/run/stekd/control\"\n"));
    BOOST_TEST(party.control == "/run/stekd/control");
    BOOST_TEST(party.keyring.empty());
    const auto standalone =
        load_any_config(write("location = \"fra1\"\n[vault]\n" + uri("v") + "[ticket]\n" + uri("t") + paths +
                              "keyring = \"/run/stekd/live/keyring\"\n"));
    BOOST_TEST(standalone.location == "fra1");
    BOOST_TEST(standalone.keyring == "/run/stekd/live/keyring");
}

BOOST_FIXTURE_TEST_CASE(an_engine_is_a_directory_or_nats, Scene) {
    const std::string root = "root = \"/etc/stekd/root.pem\"\n", tls = "tls = \"/etc/stekd/nats\"\n";
    const std::string rest = "[origin]\nname = \"o1\"\n" + uri("o1") + paths;
    const auto with = [&](const std::string& lines) { return "[engine]\n" + lines + root + rest; };
    const auto config =
        load_fleet_config(write(with("nats = [\"n1.example:4222\", \"[::1]:4223\"]\n" + tls)));
    BOOST_REQUIRE(config.nats.has_value());
    BOOST_TEST((config.nats->servers == std::vector<std::string>{"n1.example:4222", "[::1]:4223"}));
    BOOST_TEST(config.nats->tls == "/etc/stekd/nats");
    BOOST_TEST(config.engine_directory.empty());
    check_refused(with(""), "engine.directory: there must be either directory or nats");
    check_refused(with("directory = \"/srv\"\nnats = [\"n1:4222\"]\n" + tls),
                  "engine.nats: there must be either directory or nats");
    check_refused(with("nats = [\"n1:4222\"]\n"), "engine.tls: is missing");
    check_refused(with("directory = \"/srv\"\n" + tls), "engine.tls: is for nats");
    check_refused(with("nats = \"n1:4222\"\n" + tls), "engine.nats: must be an array of servers");
    check_refused(with("nats = [\"\"]\n" + tls), "engine.nats: must be an array of servers");
    check_refused(with("nats = [\"n1:4222\"]\ntls = \"nats\"\n"), "engine.tls: must be an absolute path");
    for (const auto* server : {"n1", ":4222", "n1:", "n1:0", "n1:65536", "n1:x", "n1:99999999999",
                               "nats://n1:4222", "me@n1:4222", "n1 :4222"})
        check_refused(with("nats = [\"" + std::string(server) + "\"]\n" + tls), "must be HOST:PORT");
}
