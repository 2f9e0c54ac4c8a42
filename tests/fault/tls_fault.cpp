// Bad tickets, bad rings and bad tokens, as a stock nginx with two workers meets them: no handshake fails,
// and the journal says what is wrong. nginx is the strictest to look at: it takes an error left behind for a
// failed handshake.
#define BOOST_TEST_MODULE tls_fault
#include "tests/fixtures/faulty_module.hpp"
#include "tests/fixtures/journal_catcher.hpp"
#include "tests/fixtures/memory_tls.hpp"
#include "tests/fixtures/nginx.hpp"
#include "tests/tls/scene.hpp"

#include <algorithm>
#include <thread>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <openssl/rand.h>

namespace stek::test {
namespace {

using tests::FaultyModule;
using tests::JournalCatcher;
using Buffer = std::vector<std::uint8_t>;

BOOST_TEST_GLOBAL_FIXTURE(Scene);

/// An instance that the case may harm, and nginx on it.
struct Rig {
    JournalCatcher journal{scene().workspace.subdirectory("journal")};
    Instance instance{scene().workspace, {2, 120}};
    std::optional<Nginx> nginx;
    std::size_t heard = 0;

    void serve(const std::map<std::string, std::string>& settings = {}) {
        ServerSetup setup = scene().setup("nginx");
        setup.openssl_conf =
            settings.empty() ? instance.openssl_conf() : instance.openssl_conf_with(settings);
        nginx.emplace(setup);
        nginx->start();
    }
    [[nodiscard]] ClientTerms terms(int version) const {
        ClientTerms terms;
        terms.port = nginx->port();
        terms.version = version;
        return terms;
    }
    [[nodiscard]] bool ours(const Connection& connection) const {
        return record_of(*instance.ring(), connection.ticket) != nullptr;
    }
    void listen_from_here() { heard = journal.entries().size(); }
    bool said(const std::string& text) {
        const auto& all = journal.entries();
        return std::any_of(all.begin() + static_cast<std::ptrdiff_t>(heard), all.end(),
                           [&](const auto& entry) { return entry.find(text) != std::string::npos; });
    }
    /// Connects, both versions, each connection a good one, until it holds.
    bool connecting_until(const std::function<bool()>& holds) {
        return eventually([&] {
            for (const int version : versions)
                connect(terms(version));
            return holds();
        });
    }
    /// Ten connections of each version are good, and their tickets ours: with two workers, both have got it.
    bool in_order() {
        return eventually([&] {
            int good = 0;
            for (int i = 0; i < 10; ++i) {
                for (const int version : versions)
                    good += ours(connect(terms(version))) ? 1 : 0;
            }
            return good == 20;
        });
    }
    std::filesystem::path ticket_token() const {
        // SoftHSM's serial is the end of the directory's UUID
        const std::string serial = instance.ring()->token_serial;
        for (const auto& entry : std::filesystem::directory_iterator(instance.directory() / "tokens")) {
            std::string name = entry.path().filename().string();
            std::erase(name, '-');
            if (name.ends_with(serial))
                return entry.path();
        }
        throw std::runtime_error("no directory of the ticket token");
    }
};

Buffer noise(std::size_t size) {
    Buffer bytes(size);
    RAND_bytes(bytes.data(), static_cast<int>(size));
    return bytes;
}

BOOST_DATA_TEST_CASE(forged_tickets_mean_full_handshakes, versions, version) {
    Nginx nginx(scene().setup("nginx"));
    nginx.start();
    ClientTerms terms;
    terms.port = nginx.port();
    terms.version = version;
    const Connection good = connect(terms);
    const auto refused = [&](const Buffer& ticket, const std::string& what) {
        ClientTerms forged = terms;
        forged.session =
            SessionPtr(tests::with_ticket(good.session.get(), ticket).release(), SSL_SESSION_free);
        const Connection connection = scene().client.connect(forged);
        BOOST_REQUIRE_MESSAGE(connection.ok, what << ": " << connection.error);
        BOOST_REQUIRE_MESSAGE(!connection.reused, what << " was resumed");
    };
    for (std::size_t size = 0; size <= 600; ++size)
        refused(noise(size), "noise of " + std::to_string(size) + " bytes");
    for (std::size_t bit = 0; bit < good.ticket.size() * 8; ++bit) {
        Buffer ticket = good.ticket;
        ticket[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
        refused(ticket, "flipped bit " + std::to_string(bit));
    }
    for (std::size_t size = 0; size < good.ticket.size(); ++size)
        refused(Buffer(good.ticket.begin(), good.ticket.begin() + static_cast<std::ptrdiff_t>(size)),
                "cut to " + std::to_string(size) + " bytes");
    for (const std::size_t size : {0, 1, 12, 28, 59, 60, 61, 76, 100, 192, 14000}) {
        Buffer named(good.ticket.begin(), good.ticket.begin() + 16), unknown = noise(16);
        const Buffer rest = noise(size);
        named.insert(named.end(), rest.begin(), rest.end());
        unknown.insert(unknown.end(), good.ticket.begin() + 16, good.ticket.end());
        refused(named, "our key name and noise of " + std::to_string(size) + " bytes");
        refused(unknown, "a name that nobody knows");
    }
    refused(noise(14000), "14 kB of noise");
    BOOST_TEST(resume(terms, good).reused);
    for (const char* bad : {"[crit]", "[alert]", "[emerg]"})
        BOOST_TEST((nginx.log().find(bad) == std::string::npos), nginx.log());
}

BOOST_AUTO_TEST_CASE(ring_absent_at_start_and_there_later) {
    Rig rig;
    rig.instance.stop();
    std::filesystem::remove(rig.instance.ring_file());
    rig.serve();
    for (const int version : versions)
        BOOST_TEST(connect(rig.terms(version)).ticket.empty());
    BOOST_TEST(rig.said("STEK_STATE=ring-absent"));
    rig.instance.start();
    BOOST_TEST(rig.in_order());
}

BOOST_AUTO_TEST_CASE(ring_turns_to_noise) {
    Rig rig;
    rig.serve();
    BOOST_REQUIRE(rig.in_order());  // a worker that has seen no ring yet has none to stay with
    std::map<int, Connection> before;
    for (const int version : versions)
        before[version] = connect(rig.terms(version));
    const std::string whole = read_file(rig.instance.ring_file());
    rig.instance.stop();
    const Buffer bytes = noise(5000);
    write_file(rig.instance.ring_file(), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    BOOST_TEST(rig.connecting_until([&] { return rig.said("STEK_STATE=ring-corrupt"); }));
    // The last good ring stays in force.
    for (const int version : versions)
        BOOST_TEST(resume(rig.terms(version), before[version]).reused);
    rig.instance.start();
    BOOST_TEST(rig.in_order());
}

BOOST_AUTO_TEST_CASE(token_files_removed_and_back) {
    Rig rig;
    rig.instance.stop();
    const auto tokens = rig.ticket_token(), away = rig.instance.directory() / "away";
    std::filesystem::rename(tokens, away);
    rig.serve();
    BOOST_TEST(rig.connecting_until([&] { return rig.said("STEK_STATE=token-down"); }));
    for (const int version : versions)
        BOOST_TEST(connect(rig.terms(version)).ticket.empty());
    std::filesystem::rename(away, tokens);
    rig.instance.start();
    BOOST_TEST(rig.in_order());
}

BOOST_AUTO_TEST_CASE(token_remade) {
    Rig rig;
    rig.serve();
    BOOST_TEST(rig.in_order());
    const std::string old_serial = rig.instance.ring()->token_serial;
    rig.instance.stop();
    std::filesystem::remove_all(rig.ticket_token());
    std::string pin = read_file(rig.instance.directory() / "pins" / "ticket.pin");
    pin.erase(pin.find_last_not_of('\n') + 1);
    const Outcome made = run(
        {"softhsm2-util", "--init-token", "--free", "--label", "stekd-ticket", "--so-pin", pin, "--pin", pin},
        {{"SOFTHSM2_CONF", (rig.instance.directory() / "softhsm2.conf").string()}});
    BOOST_REQUIRE_MESSAGE(made.exit_code == 0, made.output);
    rig.instance.start();
    BOOST_TEST(rig.connecting_until([&] { return rig.instance.ring()->token_serial != old_serial; }));
    BOOST_TEST(rig.in_order());
}

/// The functions that the provider calls on its way from start to opened ticket.
const char* const called[] = {"C_Initialize",  "C_GetSlotList", "C_OpenSession", "C_FindObjectsInit",
                              "C_FindObjects", "C_UnwrapKey",   "C_EncryptInit", "C_Encrypt",
                              "C_DecryptInit", "C_Decrypt"};

BOOST_AUTO_TEST_CASE(each_call_fails) {
    Rig rig;
    FaultyModule faulty(scene().workspace.subdirectory("faulty"));
    rig.serve({{"token", "pkcs11:token=stekd-ticket?module-path=" + faulty.path()}});
    BOOST_TEST(rig.in_order());
    for (const char* function : called) {
        BOOST_TEST_CONTEXT(function) {
            std::map<int, Connection> before;
            for (const int version : versions)
                before[version] = connect(rig.terms(version));
            faulty.fail(function, CKR_DEVICE_ERROR);
            rig.listen_from_here();
            rig.nginx->reload();  // new workers begin at C_Initialize
            BOOST_TEST(rig.connecting_until([&] {
                for (const int version : versions)
                    resume(rig.terms(version), before[version]);
                return rig.said("CKR_DEVICE_ERROR");
            }));
            faulty.clear();
            BOOST_TEST(rig.in_order());
        }
    }
}

BOOST_DATA_TEST_CASE(each_call_hangs_for_five_seconds, (std::vector<std::string>{"C_UnwrapKey", "C_Encrypt"}),
                     function) {
    Rig rig;
    FaultyModule faulty(scene().workspace.subdirectory("faulty"));
    rig.serve({{"token", "pkcs11:token=stekd-ticket?module-path=" + faulty.path()}});
    faulty.sleep(function, std::chrono::seconds(5));
    BOOST_TEST(rig.connecting_until([&] { return rig.said("more than a second"); }));
    faulty.clear();
    BOOST_TEST(rig.in_order());
}

}  // namespace
}  // namespace stek::test
