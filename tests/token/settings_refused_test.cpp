// What the journal says of a provider's start in a program: that it attached, or which setting is wrong and
// why; and that the program's handshakes do not suffer. Each start is a process of its own.
#define BOOST_TEST_MODULE settings_refused
#include "provider/settings.hpp"
#include "tests/fixtures/child.hpp"
#include "tests/fixtures/journal_catcher.hpp"
#include "tests/fixtures/known_ring.hpp"
#include "tests/fixtures/memory_tls.hpp"

#include <cstdlib>
#include <set>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <openssl/conf.h>
#include <openssl/err.h>
#include <sys/wait.h>

using namespace stek;
using namespace stek::tests;

namespace {

constexpr int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/// What a server with this section saw, as its exit status.
enum Seen : int { our_tickets = 10, no_tickets = 11, other_tickets = 12, failed_handshake = 13, errors = 14 };

int serve(const std::string& conf, const KeyName& name, const Identity& identity) {
    // Keys that we do not know are read from the file that the program was pointed at.
    setenv("OPENSSL_CONF", conf.c_str(), 1);
    if (CONF_modules_load_file(conf.c_str(), nullptr, 0) != 1) {
        return errors;
    }
    const Ctx server = server_ctx(identity);
    std::set<int> seen;
    for (const int version : versions) {
        const Ctx client = client_ctx(version);
        for (int i = 0; i < 3; ++i) {
            const Handshake next = connect(client.get(), server.get(), nullptr, "a.example");
            const bool ours =
                next.ticket.size() > name.size() && std::equal(name.begin(), name.end(), next.ticket.begin());
            seen.insert(!next.done            ? failed_handshake
                        : next.ticket.empty() ? no_tickets
                        : ours                ? our_tickets
                                              : other_tickets);
        }
    }
    return ERR_peek_error() != 0 || seen.size() != 1 ? errors : *seen.begin();
}

struct Scene {
    KnownRing ring;
    JournalCatcher journal{ring.softhsm().directory()};
    Identity identity{"a.example"};
    KeyName name = ring.add_current();
    std::size_t heard = 0;

    /// Serves with this section in a child; what it saw.
    int start(const std::map<std::string, std::string>& section) {
        const std::string conf = ring.write_conf(section);
        heard = journal.entries().size();
        const int status = in_child([&] { return serve(conf, name, identity); });
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    /// The last start's line with this text; empty if there is none.
    std::string line(const std::string& text) {
        const auto& all = journal.entries();
        for (std::size_t i = heard; i < all.size(); ++i) {
            if (all[i].find(text) != std::string::npos) {
                return all[i];
            }
        }
        return {};
    }
};

struct Wrong {
    std::string key, value;
    std::string said = key + " = " + value + ": ";
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_good_section_attaches_and_says_so) {
    Scene scene;
    auto section = scene.ring.section({{"attach", "yes"}});
    BOOST_TEST(scene.start(section) == our_tickets);
    BOOST_TEST(scene.line("STEK_STATE=attached").find("MESSAGE=attached to TLS") != std::string::npos);
    BOOST_TEST(!scene.line("STEK_STATE=ring-good").empty());
    BOOST_TEST(scene.line("STEK_STATE=refused").empty());
    // Left alone, the program makes tickets of its own, and the journal hears nothing.
    section["attach"] = "no";
    BOOST_TEST(scene.start(section) == other_tickets);
    BOOST_TEST(scene.line("MESSAGE=").empty());
}

BOOST_AUTO_TEST_CASE(each_wrong_value_is_named_and_no_handshake_fails) {
    Scene scene;
    const std::string long_text(1025, 'x');
    // What stands in a token URI, or under a name that is none of ours, may be a PIN: named, but not quoted.
    const Wrong all[] = {
        {"token", "softhsm", "token: "},
        {"token", "pkcs11:token=ticket", "token: the URI has no module-path attribute"},
        {"token", "pkcs11:token=ticket?module-path=lib/softhsm.so", "module-path is not an absolute path"},
        {"token", "pkcs11:token=ticket?module-path=/nonexistent/module.so", "/nonexistent/module.so"},
        {"module-config", "softhsm2.conf"},
        {"keyring", "run/keyring"},
        {"keyring", "/" + std::string(5000, 'k'), "keyring = /kkkk"},
        {"location", "not a location"},
        {"location", std::string(65, 'l')},
        {"stats", "run/stats"},
        {"attach", "maybe"},
        {"attach", "YES"},
        {"audience", "only:"},
        {"audience", long_text, "audience = " + long_text.substr(0, 64) + ": "},
        {"max-lineage", "0"},
        {"max-lineage", "-1"},
        {"max-lineage", "2592001"},
        {"max-lineage", "99999999999999999999"},
        {"max-lineage", "for ever"},
        {"max-lineage", "60s"},
        {"early-data", "true"},
        {"early-data", "1"},
        {"stale-epochs", "-1"},
        {"stale-epochs", "49"},
        {"stale-epochs", "two"},
        {"max-processes", "0"},
        {"max-processes", "1048577"},
        {"max-processes", "0x10"},
        {"max-linage", "60", "max-linage: no such key"},
    };
    std::set<std::string> seen;
    for (const Wrong& wrong : all) {
        BOOST_TEST_CONTEXT(wrong.key << " = " << wrong.value.substr(0, 80)) {
            auto section = scene.ring.section({{"attach", "yes"}});
            section[wrong.key] = wrong.value;
            BOOST_TEST(scene.start(section) == no_tickets);
            const std::string line = scene.line("STEK_STATE=refused");
            BOOST_TEST(line.find("settings refused, no tickets will be made: ") != std::string::npos);
            BOOST_TEST(line.find(wrong.said) != std::string::npos, line);
            seen.insert(wrong.key);
        }
    }
    for (const auto key : setting_names()) {
        BOOST_TEST(seen.contains(std::string(key)), key);
    }
}

BOOST_AUTO_TEST_CASE(each_missing_setting_is_named_and_no_handshake_fails) {
    Scene scene;
    for (const std::string key : {"token", "keyring"}) {
        auto section = scene.ring.section({{"attach", "yes"}});
        section.erase(key);
        BOOST_TEST(scene.start(section) == no_tickets, key);
        BOOST_TEST(scene.line("STEK_STATE=refused").find(key + ": missing") != std::string::npos, key);
    }
}
