// The ticket callback in a program that knows nothing of it: libssl in this process, the provider from a
// configuration file. One provider attaches to a process, so each case is run in a process of its own (meson
// runs them by name).
#define BOOST_TEST_MODULE callback
#include "provider/ticket.hpp"
#include "tests/fixtures/child.hpp"
#include "tests/fixtures/known_ring.hpp"
#include "tests/fixtures/memory_tls.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/tls1.h>
#include <sys/wait.h>

using namespace stek;
using namespace stek::tests;

namespace {

using Buffer = std::vector<std::uint8_t>;
constexpr int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/// The program's own configuration, with `more` in the provider's section.
void configure(const KnownRing& ring, const std::map<std::string, std::string>& more = {},
               const std::string& module = softhsm_module) {
    auto section = ring.section(more, module);
    if (!more.contains("attach")) {
        section["attach"] = "yes";
    }
    BOOST_REQUIRE(CONF_modules_load_file(ring.write_conf(section).c_str(), nullptr, 0) == 1);
}

bool named(const Buffer& ticket, const KeyName& name) {
    return ticket.size() > name.size() && std::equal(name.begin(), name.end(), ticket.begin());
}

/// The ring is looked at once a second: waits until a change must have been seen.
void let_the_ring_be_seen() {
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_hundred_in_a_row) {
    KnownRing ring;
    const KeyName name = ring.add_current();
    configure(ring);
    const Identity identity("a.example");
    const Ctx server = server_ctx(identity);
    for (const int version : versions) {
        const Ctx client = client_ctx(version);
        Handshake last = connect(client.get(), server.get(), nullptr, "a.example");
        BOOST_REQUIRE_MESSAGE(last.done, last.error);
        BOOST_TEST(!last.resumed);
        for (int i = 1; i < 100; ++i) {
            BOOST_REQUIRE(named(last.ticket, name));
            Handshake next = connect(client.get(), server.get(), last.session.get(), "a.example");
            BOOST_REQUIRE_MESSAGE(next.done, next.error);
            BOOST_REQUIRE(next.resumed);
            if (version == TLS1_3_VERSION) {
                BOOST_REQUIRE((next.ticket != last.ticket));  // renewed each time
            }
            last = std::move(next);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_ticket_is_for_one_audience) {
    KnownRing ring;
    ring.add_current();
    configure(ring);
    const Identity one("a.example");
    const Identity two("a.example");
    const Ctx server = server_ctx(one);
    const Ctx other_key = server_ctx(two);
    const Ctx verifying = server_ctx(one);
    SSL_CTX_set_verify(verifying.get(), SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
    const Ctx other_ca = server_ctx(one);
    SSL_CTX_set_verify(other_ca.get(), SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
    SSL_CTX_add_client_CA(other_ca.get(), two.certificate.get());
    for (const int version : versions) {
        const Ctx client = client_ctx(version);
        const Ctx again = server_ctx(one);
        const auto resumes = [&](const Ctx& at, const std::string& made_for, const Ctx& opened_at,
                                 const std::string& opened_for) {
            const Handshake first = connect(client.get(), at.get(), nullptr, made_for, &two);
            BOOST_REQUIRE_MESSAGE(first.done, first.error);
            BOOST_REQUIRE(!first.ticket.empty());
            const Handshake second =
                connect(client.get(), opened_at.get(), first.session.get(), opened_for, &two);
            BOOST_REQUIRE_MESSAGE(second.done, second.error);
            return second.resumed;
        };
        BOOST_TEST(resumes(server, "a.example", server, "a.example"));
        // Beside contexts that ask for client certificates, one must have seen a name before it resumes it.
        for (const char* name : {"a.example", ""}) {
            BOOST_TEST(!resumes(server, name, again, name));
        }
        BOOST_TEST(resumes(server, "a.example", again, "a.example"));
        BOOST_TEST(resumes(server, "a.example", again, "A.EXAMPLE"));
        BOOST_TEST(resumes(server, "", again, ""));
        BOOST_TEST(!resumes(server, "a.example", server, "b.example"));
        BOOST_TEST(!resumes(server, "a.example", server, ""));
        BOOST_TEST(!resumes(server, "", server, "a.example"));
        BOOST_TEST(!resumes(server, "a.example", other_key, "a.example"));
        BOOST_TEST(!resumes(server, "a.example", verifying, "a.example"));
        BOOST_TEST(!resumes(verifying, "a.example", server, "a.example"));
        BOOST_TEST(!resumes(verifying, "a.example", other_ca, "a.example"));
        BOOST_TEST(resumes(verifying, "a.example", verifying, "a.example"));
    }
}

BOOST_AUTO_TEST_CASE(an_audience_of_the_settings_replaces_all) {
    KnownRing ring;
    ring.add_current();
    configure(ring, {{"audience", "only:one service"}});
    const Identity one("a.example");
    const Identity two("b.example");
    const Ctx server = server_ctx(one);
    const Ctx other = server_ctx(two);
    for (const int version : versions) {
        const Ctx client = client_ctx(version);
        const Handshake first = connect(client.get(), server.get(), nullptr, "a.example");
        const Handshake second = connect(client.get(), other.get(), first.session.get(), "b.example");
        BOOST_REQUIRE_MESSAGE(second.done, second.error);
        BOOST_TEST(second.resumed);
    }
}

BOOST_AUTO_TEST_CASE(lineage_ends) {
    KnownRing ring;
    ring.add_current();
    configure(ring, {{"max-lineage", "2"}});
    const Identity identity("a.example");
    const Ctx server = server_ctx(identity);
    const Ctx client = client_ctx(TLS1_3_VERSION);
    Handshake last = connect(client.get(), server.get());
    const auto begun = std::time(nullptr);
    bool ended = false;
    // Each resumption renews the ticket, but never the time it begins with.
    for (int i = 0; i < 60 && !ended; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        Handshake next = connect(client.get(), server.get(), last.session.get());
        BOOST_REQUIRE_MESSAGE(next.done, next.error);
        ended = !next.resumed;
        last = std::move(next);
    }
    BOOST_TEST(ended);
    BOOST_TEST(std::time(nullptr) - begun >= 2);
    // A full handshake begins a new line.
    BOOST_TEST(connect(client.get(), server.get(), last.session.get()).resumed);
}

BOOST_AUTO_TEST_CASE(keys_come_and_go) {
    KnownRing ring;
    const auto now = std::time(nullptr);
    Buffer key(32, 5);
    const KeyName old = ring.add(key, 1, now - 10, 3600);
    configure(ring);
    const Identity identity("a.example");
    const Ctx server = server_ctx(identity);
    const Ctx client12 = client_ctx(TLS1_2_VERSION);
    const Ctx client13 = client_ctx(TLS1_3_VERSION);
    const Handshake first12 = connect(client12.get(), server.get());
    const Handshake first13 = connect(client13.get(), server.get());
    BOOST_TEST(named(first12.ticket, old));
    // TLS 1.2: no new ticket while the key is the newest.
    const Handshake same12 = connect(client12.get(), server.get(), first12.session.get());
    BOOST_TEST(same12.resumed);
    BOOST_TEST((same12.ticket == first12.ticket));
    // A rotation: the old ticket resumes and is renewed under the new key.
    key[0] = 6;
    const KeyName current = ring.add(key, 2, now - 1, 3600);
    let_the_ring_be_seen();
    const Handshake renewed12 = connect(client12.get(), server.get(), first12.session.get());
    BOOST_TEST(renewed12.resumed);
    BOOST_TEST(named(renewed12.ticket, current));
    const Handshake renewed13 = connect(client13.get(), server.get(), first13.session.get());
    BOOST_TEST(renewed13.resumed);
    BOOST_TEST(named(renewed13.ticket, current));
    // Revoked: the old one opens no more, and nobody's handshake fails.
    ring.drop(old);
    let_the_ring_be_seen();
    const Handshake revoked = connect(client12.get(), server.get(), first12.session.get());
    BOOST_REQUIRE_MESSAGE(revoked.done, revoked.error);
    BOOST_TEST(!revoked.resumed);
    BOOST_TEST(connect(client12.get(), server.get(), renewed12.session.get()).resumed);
    // No ring: no tickets, full handshakes, at once.
    ring.remove_file();
    let_the_ring_be_seen();
    for (const auto* client : {&client12, &client13}) {
        const Handshake none =
            connect(client->get(), server.get(),
                    client == &client12 ? renewed12.session.get() : renewed13.session.get());
        BOOST_REQUIRE_MESSAGE(none.done, none.error);
        BOOST_TEST(!none.resumed);
        BOOST_TEST(none.ticket.empty());
    }
    // And back.
    ring.write();
    let_the_ring_be_seen();
    BOOST_TEST(connect(client13.get(), server.get(), renewed13.session.get()).resumed);
    // Noise in its place: the last good ring stays.
    std::ofstream(ring.path()) << "noise";
    let_the_ring_be_seen();
    BOOST_TEST(connect(client12.get(), server.get(), renewed12.session.get()).resumed);
}

BOOST_AUTO_TEST_CASE(a_remade_token_is_found) {
    KnownRing ring;
    const KeyName before = ring.add_current();
    // Another process remakes the token, as stekd would; it is there before SoftHSM is initialised here.
    int start[2];
    BOOST_REQUIRE(pipe(start) == 0);
    const pid_t child = fork();
    if (child == 0) {
        char go = 0;
        if (read(start[0], &go, 1) == 1) {
            ring.remake_token();
            ring.add_current();
        }
        _exit(go == 'g' ? 0 : 1);
    }
    configure(ring);
    const Identity identity("a.example");
    const Ctx server = server_ctx(identity);
    const Ctx client = client_ctx(TLS1_3_VERSION);
    const Handshake first = connect(client.get(), server.get());
    BOOST_TEST(named(first.ticket, before));
    BOOST_REQUIRE(write(start[1], "g", 1) == 1);
    int status = 0;
    BOOST_REQUIRE(waitpid(child, &status, 0) == child);
    BOOST_REQUIRE(status == 0);
    let_the_ring_be_seen();
    Handshake next = connect(client.get(), server.get(), first.session.get());
    BOOST_REQUIRE_MESSAGE(next.done, next.error);
    BOOST_TEST(!next.resumed);
    BOOST_TEST(!next.ticket.empty());
    BOOST_TEST(!named(next.ticket, before));
    BOOST_TEST(connect(client.get(), server.get(), next.session.get()).resumed);
}

BOOST_AUTO_TEST_CASE(bad_tickets_mean_full_handshakes) {
    KnownRing ring;
    const KeyName name = ring.add_current();
    configure(ring);
    const Identity identity("a.example");
    const Ctx server = server_ctx(identity);
    unsigned tried = 0;
    for (const int version : versions) {
        const Ctx client = client_ctx(version);
        const Handshake first = connect(client.get(), server.get());
        BOOST_REQUIRE(named(first.ticket, name));
        const auto refused = [&](const Buffer& ticket, const char* what) {
            ++tried;
            const Session session = with_ticket(first.session.get(), ticket);
            const Handshake next = connect(client.get(), server.get(), session.get());
            BOOST_REQUIRE_MESSAGE(next.done, what << ": " << next.error);
            BOOST_REQUIRE_MESSAGE(!next.resumed, what);
            BOOST_REQUIRE(named(next.ticket, name));
        };
        for (std::size_t size = version == TLS1_3_VERSION ? 1 : 0; size <= 600; ++size) {
            Buffer noise(size);
            BOOST_REQUIRE(RAND_bytes(noise.data(), static_cast<int>(size)) == 1);
            refused(noise, "noise");
            std::copy_n(name.begin(), std::min(size, name.size()), noise.begin());
            if (size > 0) {
                refused(noise, "the right name and noise");
            }
        }
        for (std::size_t size = 1; size < first.ticket.size(); ++size) {
            refused(Buffer(first.ticket.begin(), first.ticket.begin() + static_cast<std::ptrdiff_t>(size)),
                    "cut");
        }
        for (std::size_t bit = 0; bit < first.ticket.size() * 8; ++bit) {
            Buffer flipped = first.ticket;
            flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
            refused(flipped, "a flipped bit");
        }
        Buffer large(14000, 0x55);
        std::copy_n(name.begin(), name.size(), large.begin());
        refused(large, "14 kB");
        BOOST_TEST(connect(client.get(), server.get(), first.session.get()).resumed);
    }
    BOOST_TEST(tried > 4000U);
}

BOOST_AUTO_TEST_CASE(early_data_is_refused_unless_asked_for) {
    KnownRing ring;
    ring.add_current();
    configure(ring);
    const Identity identity("a.example");
    const Ctx server = server_ctx(identity);
    SSL_CTX_set_max_early_data(server.get(), 1000);
    SSL_CTX_set_options(server.get(), SSL_OP_NO_ANTI_REPLAY);
    const Ctx client = client_ctx(TLS1_3_VERSION);
    const Handshake first = connect(client.get(), server.get());
    BOOST_TEST(SSL_SESSION_get_max_early_data(first.session.get()) == 0U);
    const Handshake next = connect(client.get(), server.get(), first.session.get(), {}, nullptr, true);
    BOOST_REQUIRE_MESSAGE(next.done, next.error);
    BOOST_TEST(!next.early_data_accepted);
}

BOOST_AUTO_TEST_CASE(early_data_works_when_asked_for) {
    KnownRing ring;
    ring.add_current();
    configure(ring, {{"early-data", "yes"}});
    const Identity identity("a.example");
    const Ctx server = server_ctx(identity);
    SSL_CTX_set_max_early_data(server.get(), 1000);
    SSL_CTX_set_options(server.get(), SSL_OP_NO_ANTI_REPLAY);
    const Ctx client = client_ctx(TLS1_3_VERSION);
    const Handshake first = connect(client.get(), server.get());
    BOOST_TEST(SSL_SESSION_get_max_early_data(first.session.get()) == 1000U);
    const Handshake next = connect(client.get(), server.get(), first.session.get(), {}, nullptr, true);
    BOOST_REQUIRE_MESSAGE(next.done, next.error);
    BOOST_TEST(next.resumed);
    BOOST_TEST(next.early_data_accepted);
}

// Two servers at a location, of which one has early-data = yes.
BOOST_AUTO_TEST_CASE(a_ticket_that_allows_early_data_gets_none_where_it_is_refused) {
    KnownRing ring;
    ring.add_current();
    const Identity identity("a.example");
    const auto file = ring.softhsm().directory() / "session";
    const auto in_a_server = [&](const std::map<std::string, std::string>& more, const auto& work) {
        return in_child([&] {
            configure(ring, more);
            const Ctx server = server_ctx(identity), client = client_ctx(TLS1_3_VERSION);
            SSL_CTX_set_max_early_data(server.get(), 1000);
            SSL_CTX_set_options(server.get(), SSL_OP_NO_ANTI_REPLAY);
            return work(client.get(), server.get()) ? 0 : 1;
        });
    };
    BOOST_REQUIRE(in_a_server({{"early-data", "yes"}}, [&](SSL_CTX* client, SSL_CTX* server) {
                      const Handshake first = connect(client, server);
                      unsigned char* der = nullptr;
                      const int size = i2d_SSL_SESSION(first.session.get(), &der);
                      std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char*>(der), size);
                      OPENSSL_free(der);
                      return SSL_SESSION_get_max_early_data(first.session.get()) == 1000;
                  }) == 0);
    BOOST_TEST(in_a_server({}, [&](SSL_CTX* client, SSL_CTX* server) {
                   std::ifstream in(file, std::ios::binary);
                   const std::string der(std::istreambuf_iterator<char>(in), {});
                   const auto* at = reinterpret_cast<const unsigned char*>(der.data());
                   const Session session(d2i_SSL_SESSION(nullptr, &at, static_cast<long>(der.size())));
                   const Handshake next = connect(client, server, session.get(), {}, nullptr, true);
                   return next.done && next.resumed && !next.early_data_accepted;
               }) == 0);
}

BOOST_AUTO_TEST_CASE(which_of_two_certificates_a_client_gets_does_not_matter) {
    KnownRing ring;
    ring.add_current();
    configure(ring);
    const Identity ec("a.example"), rsa("a.example", KeyKind::rsa);
    for (const bool ec_first : {true, false}) {
        const Identity &one = ec_first ? ec : rsa, &two = ec_first ? rsa : ec;
        const Ctx server = server_ctx(one);
        BOOST_REQUIRE(SSL_CTX_use_certificate(server.get(), two.certificate.get()) == 1 &&
                      SSL_CTX_use_PrivateKey(server.get(), two.key.get()) == 1);
        for (const int version : versions) {
            const Ctx any = client_ctx(version);
            for (const char* algorithms : {"ECDSA+SHA256", "RSA-PSS+SHA256:RSA+SHA256"}) {
                const Ctx client = client_ctx(version);
                BOOST_REQUIRE(SSL_CTX_set1_sigalgs_list(client.get(), algorithms) == 1);
                Handshake last = connect(client.get(), server.get(), nullptr, "a.example");
                BOOST_REQUIRE_MESSAGE(last.done, last.error);
                for (int i = 0; i < 3; ++i) {
                    last = connect(client.get(), server.get(), last.session.get(), "a.example");
                    BOOST_TEST(last.resumed, algorithms);
                }
                BOOST_TEST(connect(any.get(), server.get(), last.session.get(), "a.example").resumed);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(many_threads_with_a_moving_ring) {
    KnownRing ring;
    ring.add_current();
    configure(ring);
    const Identity identity("a.example");
    const Ctx server = server_ctx(identity);
    std::atomic<bool> stop{false};
    std::atomic<unsigned> failed{0};
    std::atomic<unsigned> resumed{0};
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, version = versions[i % 2]] {
            const Ctx client = client_ctx(version);
            Session session;
            while (!stop) {
                Handshake next = connect(client.get(), server.get(), session.get(), "a.example");
                failed += next.done ? 0 : 1;
                resumed += next.resumed ? 1 : 0;
                session = std::move(next.session);
            }
        });
    }
    for (int i = 0; i < 5; ++i) {
        let_the_ring_be_seen();
        ring.add_current();
        if (ring.ring().records.size() > 3) {
            ring.drop(ring.ring().records.front()->name);
        }
    }
    stop = true;
    threads.clear();
    BOOST_TEST(failed == 0U);
    BOOST_TEST(resumed > 100U);
}

BOOST_AUTO_TEST_CASE(a_fork_of_a_serving_process_serves) {
    KnownRing ring;
    ring.add_current();
    configure(ring);
    const Identity identity("a.example");
    const Ctx server = server_ctx(identity);
    const Ctx client = client_ctx(TLS1_3_VERSION);
    const Handshake first = connect(client.get(), server.get());
    BOOST_REQUIRE(!first.ticket.empty());
    for (int i = 0; i < 5; ++i) {
        const int status = in_child([&] {
            Handshake next = connect(client.get(), server.get(), first.session.get());
            const bool good =
                next.done && next.resumed && connect(client.get(), server.get(), next.session.get()).resumed;
            return good ? 0 : 1;
        });
        BOOST_TEST(status == 0);
    }
    BOOST_TEST(connect(client.get(), server.get(), first.session.get()).resumed);
}

// It runs after the end of what the thread kept for itself (glibc: before any handler): a full handshake is
// left.
BOOST_AUTO_TEST_CASE(an_exit_handler_may_still_shake_hands) {
    KnownRing ring;
    ring.add_current();
    configure(ring);
    const Identity identity("a.example");
    const Ctx server = server_ctx(identity);
    const Ctx client = client_ctx(TLS1_3_VERSION);
    static std::function<bool()> shakes_hands;
    static int result = 1;
    const int status = in_child([&]() -> int {
        // Runs after the provider's handlers, before those of the test framework.
        std::atexit([] { _exit(result); });
        const Handshake first = connect(client.get(), server.get());
        SSL_SESSION* session = first.session.get();
        shakes_hands = [&] {
            const Handshake late = connect(client.get(), server.get(), session);
            return session != nullptr && late.done && !late.resumed && late.ticket.empty();
        };
        // Before the provider's and the module's own, for it is registered after them.
        std::atexit([] { result = shakes_hands() ? 0 : 2; });
        std::exit(3);
    });
    BOOST_TEST(status == 0);
}

BOOST_AUTO_TEST_CASE(an_old_token_beside_the_new_one_is_passed_over) {
    KnownRing ring;
    ring.add_current();
    static_cast<void>(ring.softhsm().make_token("ticket"));  // the same label, another serial
    configure(ring);
    const Identity identity("a.example");
    const Ctx server = server_ctx(identity);
    const Ctx client = client_ctx(TLS1_3_VERSION);
    const Handshake first = connect(client.get(), server.get());
    BOOST_REQUIRE(!first.ticket.empty());
    BOOST_TEST(connect(client.get(), server.get(), first.session.get()).resumed);
}

BOOST_AUTO_TEST_CASE(a_key_of_a_ring_not_seen_yet_opens) {
    KnownRing ring;
    ring.add_current();
    configure(ring);
    const Identity identity("a.example");
    const Ctx server = server_ctx(identity);
    const Ctx client = client_ctx(TLS1_3_VERSION);
    const Handshake first = connect(client.get(), server.get());
    // Another worker, whose first look finds the new ring, seals under its key; this one looks once a second.
    const KeyName name = ring.add_current();
    int channel[2];
    BOOST_REQUIRE(pipe(channel) == 0);
    const int status = in_child([&] {
        const Handshake theirs = connect(client.get(), server.get());
        unsigned char* der = nullptr;
        const int size = i2d_SSL_SESSION(theirs.session.get(), &der);
        const bool sent = size > 0 && named(theirs.ticket, name) && write(channel[1], der, size) == size;
        return sent ? 0 : 1;
    });
    BOOST_REQUIRE(status == 0);
    Buffer bytes(1 << 16);
    const auto size = read(channel[0], bytes.data(), bytes.size());
    const auto* at = bytes.data();
    const Session session(d2i_SSL_SESSION(nullptr, &at, size));
    BOOST_REQUIRE(session != nullptr);
    BOOST_TEST(connect(client.get(), server.get(), session.get()).resumed);
}

BOOST_AUTO_TEST_CASE(default_properties_of_the_site_do_not_matter) {
    for (const char* properties : {"provider=default", "provider!=stek"}) {
        const int status = in_child([&] {
            KnownRing ring;
            ring.add_current();
            configure(ring);
            EVP_set_default_properties(nullptr, properties);
            const Identity identity("a.example");
            const Ctx server = server_ctx(identity);
            const Ctx client = client_ctx(TLS1_3_VERSION);
            const Handshake first = connect(client.get(), server.get());
            const bool good =
                !first.ticket.empty() && connect(client.get(), server.get(), first.session.get()).resumed;
            return good ? 0 : 1;
        });
        BOOST_TEST(status == 0, properties);
    }
}

namespace {

/// A server's own callback: what lighttpd and HAProxy with tls-ticket-keys have.
int own_callback(SSL*, unsigned char*, unsigned char*, EVP_CIPHER_CTX*, EVP_MAC_CTX*, int) {
    return 0;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_later_callback_of_the_server_wins) {
    KnownRing ring;
    ring.add_current();
    configure(ring);
    const Identity identity("a.example");
    const Ctx server = server_ctx(identity);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(server.get(), own_callback);
    const Ctx client = client_ctx(TLS1_3_VERSION);
    BOOST_TEST(connect(client.get(), server.get()).ticket.empty());
}

BOOST_AUTO_TEST_CASE(force_takes_the_callback_back) {
    KnownRing ring;
    const KeyName name = ring.add_current();
    configure(ring, {{"attach", "force"}});
    const Identity identity("a.example");
    const Ctx server = server_ctx(identity);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(server.get(), own_callback);
    const Ctx client = client_ctx(TLS1_3_VERSION);
    BOOST_TEST(named(connect(client.get(), server.get()).ticket, name));
}

BOOST_AUTO_TEST_CASE(attach_no_leaves_tls_alone) {
    KnownRing ring;
    const KeyName name = ring.add_current();
    configure(ring, {{"attach", "no"}});
    const Identity identity("a.example");
    const Ctx server = server_ctx(identity);
    const Ctx client = client_ctx(TLS1_3_VERSION);
    const Handshake first = connect(client.get(), server.get());
    BOOST_TEST(!first.ticket.empty());
    BOOST_TEST(!named(first.ticket, name));
}

BOOST_AUTO_TEST_CASE(wrong_settings_mean_no_tickets_and_no_failure) {
    KnownRing ring;
    ring.add_current();
    configure(ring, {{"max-lineage", "for ever"}});
    const Identity identity("a.example");
    const Ctx server = server_ctx(identity);
    for (const int version : versions) {
        const Ctx client = client_ctx(version);
        const Handshake first = connect(client.get(), server.get());
        BOOST_REQUIRE_MESSAGE(first.done, first.error);
        BOOST_TEST(first.ticket.empty());
        BOOST_TEST(ERR_peek_error() == 0U);
    }
}

BOOST_AUTO_TEST_CASE(no_certificate_and_no_string_no_ticket) {
    KnownRing ring;
    ring.add_current();
    configure(ring);
    const Ctx server(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_set_session_id_context(server.get(), reinterpret_cast<const unsigned char*>("x"), 1);
    SSL_CTX_set_cipher_list(server.get(), "aNULL:@SECLEVEL=0");
    const Ctx client = client_ctx(TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(client.get(), "aNULL:@SECLEVEL=0");
    const Handshake first = connect(client.get(), server.get());
    BOOST_REQUIRE_MESSAGE(first.done, first.error);
    BOOST_TEST(first.ticket.empty());
}
