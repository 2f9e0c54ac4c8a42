// Tickets that are not made or not opened: what they cost the token, which counter they go to, what the
// journal says of them. One provider attaches to a process, so each case is run in a process of its own
// (meson runs them by name).
#define BOOST_TEST_MODULE declines
#include "provider/counters.hpp"
#include "provider/ticket.hpp"
#include "tests/fixtures/faulty_module.hpp"
#include "tests/fixtures/journal_catcher.hpp"
#include "tests/fixtures/known_ring.hpp"
#include "tests/fixtures/memory_tls.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <functional>
#include <thread>

#include <boost/test/unit_test.hpp>
#include <openssl/conf.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

using namespace stek;
using namespace stek::tests;

namespace {

using Buffer = std::vector<std::uint8_t>;
using Section = std::map<std::string, std::string>;
constexpr int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
constexpr std::size_t name_size = 16;

/// A server with its counters, its journal and its token in the test's hands.
struct Scene {
    KnownRing ring;
    FaultyModule faulty{ring.softhsm().directory()};
    JournalCatcher journal{ring.softhsm().directory()};
    std::string stats = (ring.softhsm().directory() / "stats").string();
    Identity identity{"a.example"};
    Ctx server;

    explicit Scene(Section settings = {}) {
        std::filesystem::create_directory(stats);
        settings["attach"] = "yes";
        settings["stats"] = stats;
        const auto conf = ring.write_conf(ring.section(settings, faulty.path()));
        BOOST_REQUIRE(CONF_modules_load_file(conf.c_str(), nullptr, 0) == 1);
        server = server_ctx(identity);
    }
    [[nodiscard]] CounterTotals totals() const { return collect_counters(stats, false); }
    [[nodiscard]] std::uint64_t declined(Decline why) const {
        return totals().declined.at(static_cast<unsigned>(why));
    }
    /// A good connection whose ticket is ours.
    Handshake ticketed(const Ctx& client) const {
        Handshake first = connect(client.get(), server.get(), nullptr, "a.example");
        BOOST_REQUIRE_MESSAGE(first.done, first.error);
        BOOST_REQUIRE(first.ticket.size() > name_size);
        return first;
    }
    /// A full handshake is what comes of this ticket.
    void refused(const Ctx& client, const Handshake& good, const Buffer& ticket) const {
        const Session session = with_ticket(good.session.get(), ticket);
        const Handshake next = connect(client.get(), server.get(), session.get(), "a.example");
        BOOST_REQUIRE_MESSAGE(next.done, next.error);
        BOOST_REQUIRE(!next.resumed);
    }
    /// The action is declined for this reason and no other, and the journal says so, here for the first time.
    void expect(Decline why, const std::function<void()>& action) {
        const std::string line = std::string("declined 1 ticket, ") + decline_name(why) + ": ";
        BOOST_TEST(!journal.says(line));
        const auto before = totals().declined;
        action();
        const auto after = totals().declined;
        for (unsigned each = 0; each < after.size(); ++each) {
            const char* name = decline_name(static_cast<Decline>(each));
            if (each == static_cast<unsigned>(why)) {
                BOOST_TEST(after[each] > before[each], name << " was not counted");
            } else {
                BOOST_TEST(after[each] == before[each], name << " in place of " << decline_name(why));
            }
        }
        BOOST_TEST(journal.says(line), line);
    }
};

/// The ring is looked at once a second: waits until a change must have been seen.
void let_the_ring_be_seen() {
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
}

Buffer flipped(Buffer ticket, std::size_t bit) {
    ticket.at(bit / 8) ^= static_cast<std::uint8_t>(1U << bit % 8);
    return ticket;
}

/// The name of the key, and noise behind it.
Buffer forged(const Handshake& good, std::size_t size) {
    Buffer ticket(size);
    BOOST_REQUIRE(RAND_bytes(ticket.data(), static_cast<int>(size)) == 1);
    std::copy_n(good.ticket.begin(), name_size, ticket.begin());
    return ticket;
}

bool named(const Buffer& ticket, const KeyName& name) {
    return ticket.size() > name.size() && std::equal(name.begin(), name.end(), ticket.begin());
}

}  // namespace

BOOST_AUTO_TEST_CASE(forged_and_foreign_tickets_never_reach_the_token) {
    Scene scene;
    scene.ring.add_current();
    const Identity other("a.example");
    const Ctx other_key = server_ctx(other);
    const Ctx verifying = server_ctx(scene.identity);
    SSL_CTX_set_verify(verifying.get(), SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
    for (const int version : versions) {
        const Ctx client = client_ctx(version);
        const Handshake good = scene.ticketed(client);
        scene.faulty.reset_counts();
        const auto before = scene.declined(Decline::foreign);
        unsigned tried = 0;
        for (std::size_t bit = name_size * 8; bit < good.ticket.size() * 8; bit += 5, ++tried) {
            scene.refused(client, good, flipped(good.ticket, bit));
        }
        for (std::size_t size = 100; size < 400; ++size, ++tried) {
            scene.refused(client, good, forged(good, size));
        }
        for (int i = 0; i < 100; ++i) {
            for (const auto& [server, name] :
                 {std::pair(other_key.get(), "a.example"), std::pair(verifying.get(), "a.example"),
                  std::pair(scene.server.get(), "b.example")}) {
                const Handshake next = connect(client.get(), server, good.session.get(), name);
                BOOST_REQUIRE_MESSAGE(next.done, next.error);
                BOOST_REQUIRE(!next.resumed);
                ++tried;
            }
        }
        BOOST_TEST(tried > 800U);
        BOOST_TEST(scene.faulty.calls("C_DecryptInit") == 0U);
        BOOST_TEST(scene.faulty.calls("C_Decrypt") == 0U);
        BOOST_TEST(scene.declined(Decline::foreign) - before == tried);
        // The same watch does see the good one.
        BOOST_TEST(connect(client.get(), scene.server.get(), good.session.get(), "a.example").resumed);
        BOOST_TEST(scene.faulty.calls("C_Decrypt") == 1U);
    }
}

BOOST_AUTO_TEST_CASE(a_process_seals_its_share_under_a_key_and_no_more) {
    constexpr std::uint64_t share = 4096;  // 2^32 over 2^20 processes
    constexpr unsigned at_once = 100;
    Scene scene(Section{{"max-processes", "1048576"}});
    const KeyName name = scene.ring.add_current();
    SSL_CTX_set_num_tickets(scene.server.get(), at_once);
    const Ctx client = client_ctx(TLS1_3_VERSION);
    const Ctx older = client_ctx(TLS1_2_VERSION);
    // A client uses a ticket of TLS 1.3 once.
    const Handshake first = scene.ticketed(client);
    const Handshake second = scene.ticketed(client);
    for (std::uint64_t sealed = 2 * at_once; sealed + at_once <= share; sealed += at_once) {
        scene.ticketed(client);
    }
    BOOST_TEST(scene.declined(Decline::key_limit) == 0U);
    scene.expect(Decline::key_limit, [&] {
        for (int i = 0; i < 3; ++i) {
            for (const auto* with : {&client, &older}) {
                const Handshake next = connect(with->get(), scene.server.get(), nullptr, "a.example");
                BOOST_TEST(next.done, next.error);
            }
        }
    });
    BOOST_TEST(scene.totals().sealed == share);
    const auto without = scene.declined(Decline::key_limit);
    for (const auto* with : {&client, &older}) {
        const Handshake next = connect(with->get(), scene.server.get(), nullptr, "a.example");
        BOOST_REQUIRE_MESSAGE(next.done, next.error);
        BOOST_TEST(next.ticket.empty());
    }
    BOOST_TEST(scene.declined(Decline::key_limit) > without);
    // What is out there still opens.
    BOOST_TEST(named(first.ticket, name));
    BOOST_TEST(connect(client.get(), scene.server.get(), first.session.get(), "a.example").resumed);
    BOOST_TEST(scene.totals().sealed == share);
    // Another key, another share.
    const KeyName next_name = scene.ring.add_current();
    let_the_ring_be_seen();
    BOOST_TEST(named(scene.ticketed(client).ticket, next_name));
    const Handshake renewed = connect(client.get(), scene.server.get(), second.session.get(), "a.example");
    BOOST_TEST(renewed.resumed);
    BOOST_TEST(named(renewed.ticket, next_name));
}

BOOST_AUTO_TEST_CASE(each_reason_has_its_counter_and_its_line) {
    Scene scene;
    const Ctx client = client_ctx(TLS1_3_VERSION);
    const auto full = [&](const Ctx& server, const Ctx& with) {
        const Handshake next = connect(with.get(), server.get(), nullptr, "a.example");
        BOOST_REQUIRE_MESSAGE(next.done, next.error);
        BOOST_TEST(next.ticket.empty());
    };
    scene.expect(Decline::no_ring, [&] { full(scene.server, client); });

    const auto now = std::time(nullptr);
    const Buffer key(32, 7);
    const KeyName expired = scene.ring.add(key, 1, now - 20000, 3600, 0);
    scene.ring.add(key, 2, now - 20000, 3600, 30000);
    let_the_ring_be_seen();
    scene.expect(Decline::no_key_to_seal, [&] { full(scene.server, client); });

    const KeyName name = scene.ring.add_current();
    let_the_ring_be_seen();
    const Handshake good = scene.ticketed(client);
    BOOST_REQUIRE(named(good.ticket, name));
    scene.expect(Decline::unknown_key, [&] { scene.refused(client, good, flipped(good.ticket, 0)); });
    scene.expect(Decline::expired_key, [&] {
        Buffer ticket = good.ticket;
        std::ranges::copy(expired, ticket.begin());
        scene.refused(client, good, ticket);
    });
    scene.expect(Decline::foreign,
                 [&] { scene.refused(client, good, flipped(good.ticket, good.ticket.size() * 8 - 1)); });
    // One such answer from a token that works is a ticket that does not.
    scene.faulty.fail_nth("C_Decrypt", 1, CKR_GENERAL_ERROR);
    scene.expect(Decline::bad_tag, [&] { scene.refused(client, good, good.ticket); });
    scene.faulty.clear();

    scene.expect(Decline::malformed, [&] {
        EVP_CIPHER* cipher = EVP_CIPHER_fetch(nullptr, "STEK-AES-256-GCM", nullptr);
        EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
        const Buffer iv(12, 1);
        const Buffer shorter_than_a_tag(15, 1);
        Buffer out(64);
        int size = 0;
        const OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(
                                         key_name_param, const_cast<std::uint8_t*>(name.data()), name.size()),
                                     OSSL_PARAM_construct_end()};
        BOOST_TEST(EVP_DecryptInit_ex2(context, cipher, nullptr, iv.data(), params) == 1);
        BOOST_TEST(EVP_DecryptUpdate(context, out.data(), &size, shorter_than_a_tag.data(), 15) == 1);
        BOOST_TEST(EVP_DecryptFinal_ex(context, out.data(), &size) != 1);
        EVP_CIPHER_CTX_free(context);
        EVP_CIPHER_free(cipher);
    });
    scene.expect(Decline::no_audience, [&] {
        const Ctx anonymous(SSL_CTX_new(TLS_server_method()));
        const Ctx anyone = client_ctx(TLS1_2_VERSION);
        for (const auto* each : {&anonymous, &anyone}) {
            SSL_CTX_set_cipher_list(each->get(), "aNULL:@SECLEVEL=0");
        }
        full(anonymous, anyone);
    });
    scene.faulty.fail("C_Encrypt", CKR_DEVICE_ERROR);
    scene.expect(Decline::token_down, [&] {
        const Handshake next = connect(client.get(), scene.server.get(), nullptr, "a.example");
        BOOST_TEST(next.done, next.error);
    });
}

BOOST_AUTO_TEST_CASE(too_old_has_its_counter_and_its_line) {
    Scene scene(Section{{"max-lineage", "1"}});
    scene.ring.add_current();
    const Ctx client = client_ctx(TLS1_3_VERSION);
    const Handshake good = scene.ticketed(client);
    std::this_thread::sleep_for(std::chrono::milliseconds(2200));
    scene.expect(Decline::too_old, [&] { scene.refused(client, good, good.ticket); });
}

BOOST_AUTO_TEST_CASE(ten_thousand_forged_tickets_make_a_line_or_two) {
    constexpr unsigned many = 10'000;
    Scene scene;
    scene.ring.add_current();
    const Ctx client = client_ctx(TLS1_2_VERSION);
    const Handshake good = scene.ticketed(client);
    const auto begun = std::chrono::steady_clock::now();
    for (unsigned i = 0; i < many; ++i) {
        scene.refused(client, good, forged(good, 192));
    }
    const auto minutes =
        std::chrono::duration_cast<std::chrono::minutes>(std::chrono::steady_clock::now() - begun).count();
    BOOST_TEST(scene.declined(Decline::foreign) == many);
    const auto lines = std::ranges::count_if(scene.journal.entries(), [](const std::string& entry) {
        return entry.find("STEK_STATE=declined") != std::string::npos;
    });
    BOOST_TEST(lines >= 1);
    BOOST_TEST(lines <= minutes + 2);
}
