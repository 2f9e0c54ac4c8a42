// stekd.toml: what is taken, and each way to get it wrong with the line, the key and what is allowed.
#define BOOST_TEST_MODULE config
#include "daemon/config.hpp"

#include <filesystem>
#include <fstream>
#include <stdlib.h>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

namespace data = boost::unit_test::data;
using namespace stek::daemon;

namespace {

struct Directory {
    Directory() {
        std::string pattern = (std::filesystem::temp_directory_path() / "stekd-config-XXXXXX").string();
        BOOST_REQUIRE(mkdtemp(pattern.data()) != nullptr);
        path = pattern;
    }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    ~Directory() { std::filesystem::remove_all(path); }

    std::string write(const std::string& text) const {
        const auto file = path / "stekd.toml";
        std::ofstream(file) << text;
        return file.string();
    }

    std::filesystem::path path;
};

const std::string whole = R"(location = "ams1"
period = 600
session_timeout = 1200
stale_epochs = 3
ring_version = 1
readers = ["www-data", "haproxy"]
allow_weak_token = true

[vault]
uri = "pkcs11:token=stekd-vault?module-path=/usr/lib/m.so&pin-source=file:/etc/stekd/vault.pin"

[ticket]
uri = "pkcs11:token=stekd-ticket?module-path=/usr/lib/m.so"
private_pairs = false

[paths]
module_config = "/etc/stekd/softhsm2.conf"
provider = "/usr/lib/stek.so"
keyring = "/run/stekd/keyring"
stats = "/run/stekd/stats"
state = "/var/lib/stekd"
)";

std::string replaced(const std::string& from, const std::string& to) {
    auto text = whole;
    const auto at = text.find(from);
    BOOST_REQUIRE_MESSAGE(at != std::string::npos, from);
    return text.replace(at, from.size(), to);
}

std::string error_of(const std::string& text) {
    const Directory directory;
    try {
        static_cast<void>(load_config(directory.write(text)));
    } catch (const ConfigError& error) {
        const std::string message = error.what();
        BOOST_TEST(message.starts_with((directory.path / "stekd.toml").string() + ":"), message);
        return message.substr(directory.path.string().size() + 1);
    }
    return "no error";
}

struct Mistake {
    std::string from, to, message;
};

std::ostream& operator<<(std::ostream& out, const Mistake& mistake) {
    return out << mistake.to;
}

const std::vector<Mistake> mistakes{
    {"location = \"ams1\"\n", "", "stekd.toml:1: location: is missing"},
    {"\"ams1\"", "7", "stekd.toml:1: location: must be a string"},
    {"\"ams1\"", "\"\"", "stekd.toml:1: location: must be 1 to 64"},
    {"\"ams1\"", "\"ams 1\"", "stekd.toml:1: location: must be 1 to 64"},
    {"\"ams1\"", '"' + std::string(65, 'a') + '"', "stekd.toml:1: location: must be 1 to 64"},
    {"period = 600", "period = 0", "stekd.toml:2: period: must be a whole number from 1 to"},
    {"period = 600", "period = -5", "stekd.toml:2: period: must be a whole number from 1 to"},
    {"period = 600", "period = 31622401", "not 31622401"},
    {"period = 600", "period = 1.5", "stekd.toml:2: period: must be a whole number"},
    {"period = 600", "period = \"600\"", "stekd.toml:2: period: must be a whole number"},
    {"period = 600", "period = 1",
     "stekd.toml:3: session_timeout: with a period of 1 s it may be at most 228 s"},
    {"timeout = 1200", "timeout = 0", "stekd.toml:3: session_timeout: must be a whole number"},
    {"epochs = 3", "epochs = 49", "stekd.toml:4: stale_epochs: must be a whole number from 0 to 48"},
    {"version = 1", "version = 2", "stekd.toml:5: ring_version: must be a whole number from 1 to 1"},
    {"[\"www-data\", \"haproxy\"]", "\"www-data\"", "stekd.toml:6: readers: must be an array of user names"},
    {"\"haproxy\"", "33", "stekd.toml:6: readers: must be an array of user names"},
    {"\"haproxy\"", "\"\"", "stekd.toml:6: readers: must be an array of user names"},
    {"token = true", "token = \"yes\"", "stekd.toml:7: allow_weak_token: must be true or false"},
    {"token = true", "token = treu", "stekd.toml:7: "},
    {"allow_weak_token", "alow_weak_token",
     "stekd.toml:7: alow_weak_token: unknown key; at the top there may be location"},
    {"[vault]\n", "[vualt]\n", "stekd.toml:9: vualt: unknown key; at the top there may be location"},
    {"[vault]\n", "[[vault]]\n", "stekd.toml:9: vault: must be a table"},
    {"uri = \"pkcs11:token=stekd-vault?module-path=/usr/lib/m.so&",
     "uri = \"http:", "stekd.toml:10: vault.uri: "},
    {"vault?module-path=/usr/lib/m.so&", "vault?", "stekd.toml:10: vault.uri: must have a module-path"},
    {"&pin-source=file:/etc/stekd/vault.pin", "&pin-value=1234", "stekd.toml:10: vault.uri: "},
    {"vault?module-path=/usr/lib/m.so", "vault?module-path=/usr/lib/n.so",
     "stekd.toml:13: ticket.uri: must have the module-path"},
    {"[vault]\n", "[vault]\nlabel = \"x\"\n",
     "stekd.toml:10: vault.label: unknown key; in [vault] there may be uri"},
    {"private_pairs = false", "private_pairs = 0",
     "stekd.toml:14: ticket.private_pairs: must be true or false"},
    {"private_pairs = false", "remake_pins = \"pins\"",
     "stekd.toml:14: ticket.remake_pins: must be an absolute path"},
    {"token=stekd-ticket?module-path=/usr/lib/m.so\"",
     "?module-path=/usr/lib/m.so\"\nremake_pins = \"/pins\"",
     "stekd.toml:14: ticket.remake_pins: needs a token attribute"},
    {"private_pairs", "private_pair", "stekd.toml:14: ticket.private_pair: unknown key"},
    {"\"/run/stekd/keyring\"", "\"keyring\"",
     "stekd.toml:19: paths.keyring: must be an absolute path, not \"keyring\""},
    {"\"/run/stekd/keyring\"", "\"\"", "stekd.toml:19: paths.keyring: must be an absolute path"},
    {"stats = \"/run/stekd/stats\"", "stats = \"/run/stekd/keyring\"",
     "stats: /run/stekd/keyring is that of keyring already"},
    {"stats = \"/run/stekd/stats\"", "metrics = \"/run/stekd/../stekd/keyring\"",
     "metrics: /run/stekd/keyring is"},
    {"stats = \"/run/stekd/stats\"", "control = \"/var/lib/stekd\"",
     "control: /var/lib/stekd is that of state"},
    {"stats = \"/run/stekd/stats\"", "stats = \"/run/stekd/\"",
     "it must not be the directory of the key ring"},
    {"keyring =", "ring =", "paths.ring: unknown key; in [paths] there may be"},
    {"keyring = \"/run/stekd/keyring\"\n", "", "paths.keyring: is missing"},
    {"state = \"/var/lib/stekd\"\n", "", "paths.state: is missing"},
    {"provider = \"/usr/lib/stek.so\"\n", "", "paths.provider: is missing"},
    {"\"/etc/stekd/softhsm2.conf\"", "\"\"",
     "stekd.toml:17: paths.module_config: must be an absolute path; leave"},
    {"state = ", "state = \"/a\"\nstate = ", "stekd.toml:22: "},
    {"[paths]", "[paths", "stekd.toml:16: "},
};

}  // namespace

BOOST_AUTO_TEST_CASE(the_whole_file) {
    const Directory directory;
    const auto config = load_config(directory.write(whole));
    BOOST_TEST(config.location == "ams1");
    BOOST_TEST(config.policy.period == 600U);
    BOOST_TEST(config.policy.session_timeout == 1200U);
    BOOST_TEST(config.stale_epochs == 3U);
    BOOST_TEST(config.ring_version == 1U);
    BOOST_TEST(config.readers == (std::vector<std::string>{"www-data", "haproxy"}),
               boost::test_tools::per_element());
    BOOST_TEST(config.allow_weak_token);
    BOOST_TEST(config.vault.pin_source().value() == "file:/etc/stekd/vault.pin");
    BOOST_TEST(config.ticket.token_label().value() == "stekd-ticket");
    BOOST_TEST(!config.private_pairs);
    BOOST_TEST(config.module_config == "/etc/stekd/softhsm2.conf");
    BOOST_TEST(config.provider == "/usr/lib/stek.so");
    BOOST_TEST(config.keyring == "/run/stekd/keyring");
    BOOST_TEST(config.stats == "/run/stekd/stats");
    BOOST_TEST(config.state == "/var/lib/stekd");
}

BOOST_AUTO_TEST_CASE(defaults) {
    const Directory directory;
    const auto config = load_config(directory.write(R"(location = "x"
[vault]
uri = "pkcs11:token=v?module-path=/m.so"
[ticket]
uri = "pkcs11:token=t?module-path=/m.so"
[paths]
provider = "/stek.so"
keyring = "/keyring"
state = "/state"
)"));
    BOOST_TEST(config.policy.period == 3600U);
    BOOST_TEST(config.policy.session_timeout == 7200U);
    BOOST_TEST(config.stale_epochs == 2U);
    BOOST_TEST(config.readers.empty());
    BOOST_TEST(!config.allow_weak_token);
    BOOST_TEST(config.private_pairs);
    BOOST_TEST(config.module_config.empty());
    BOOST_TEST(config.stats.empty());
}

BOOST_DATA_TEST_CASE(a_mistake_is_named_with_its_line, data::make(mistakes), mistake) {
    const auto message = error_of(replaced(mistake.from, mistake.to));
    BOOST_TEST(message.find(mistake.message) != std::string::npos, message);
    BOOST_TEST(message.find("1234") == std::string::npos, "a PIN is not quoted");
}

BOOST_AUTO_TEST_CASE(a_file_that_is_not_there) {
    BOOST_CHECK_EXCEPTION(
        static_cast<void>(load_config("/nonexistent/stekd.toml")), ConfigError,
        [](const auto& error) { return std::string(error.what()).starts_with("/nonexistent/stekd.toml: "); });
}

// Cut anywhere, it is an error or, where a whole line is gone that has a default, a smaller file; never a
// crash.
BOOST_AUTO_TEST_CASE(cut_at_every_byte) {
    const Directory directory;
    unsigned errors = 0;
    for (std::size_t size = 0; size < whole.size() - 1; ++size) {
        try {
            static_cast<void>(load_config(directory.write(whole.substr(0, size))));
            BOOST_ERROR("taken when cut at " + std::to_string(size));
        } catch (const ConfigError&) {
            ++errors;
        }
    }
    BOOST_TEST(errors == whole.size() - 1);
}
