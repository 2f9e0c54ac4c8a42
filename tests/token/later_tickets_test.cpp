// Tickets that libssl asks for when the first handshake of a connection is over: after a client certificate
// was asked for later, after a renegotiation, with an SSL that is used again. Each case in a process of its
// own.
#define BOOST_TEST_MODULE later_tickets
#include "tests/fixtures/known_ring.hpp"
#include "tests/fixtures/memory_tls.hpp"

#include <ctime>
#include <functional>

#include <boost/test/unit_test.hpp>
#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/tls1.h>

using namespace stek::tests;

namespace {

using Ssl = std::unique_ptr<SSL, SslFree>;

int accept_all(int, X509_STORE_CTX*) {
    return 1;
}

/// With a servername callback that says so libssl keeps the name in the session.
int keep_name(SSL*, int*, void*) {
    return SSL_TLSEXT_ERR_OK;
}

struct World {
    explicit World(const std::map<std::string, std::string>& more = {}) {
        ring.add_current();
        auto section = ring.section(more);
        section["attach"] = "yes";
        BOOST_REQUIRE(CONF_modules_load_file(ring.write_conf(section).c_str(), nullptr, 0) == 1);
    }
    KnownRing ring;
    Identity identity{"a.example"}, client_identity{"client"};
};

/// TLS 1.2 with a server that keeps sessions, which a client without tickets gets into by their ids.
struct CachingWorld : World {
    explicit CachingWorld(const std::map<std::string, std::string>& more = {}) : World(more) {
        SSL_CTX_set_options(without_tickets.get(), SSL_OP_NO_TICKET);
        SSL_CTX_set_session_cache_mode(server.get(), SSL_SESS_CACHE_SERVER);
    }
    Ctx server = server_ctx(identity), client = client_ctx(TLS1_2_VERSION);
    Ctx without_tickets = client_ctx(TLS1_2_VERSION);
};

Session copy(const Session& session) {
    return Session(session ? SSL_SESSION_dup(session.get()) : nullptr);
}

/// A connection that a test leads step by step. The server's SSL may have had others before.
class Pair {
  public:
    Pair(SSL_CTX* client, SSL* server, const char* name, const Session& resume = nullptr,
         const Identity* identity = nullptr)
        : client_(SSL_new(client)), server_(server) {
        BIO* client_end = nullptr;
        BIO* server_end = nullptr;
        BOOST_REQUIRE(BIO_new_bio_pair(&client_end, 1U << 17, &server_end, 1U << 17) == 1);
        SSL_set_bio(client_.get(), client_end, client_end);
        SSL_set_bio(server_, server_end, server_end);
        SSL_set_connect_state(client_.get());
        SSL_set_accept_state(server_);
        SSL_set_tlsext_host_name(client_.get(), name);
        if (identity != nullptr) {
            SSL_use_certificate(client_.get(), identity->certificate.get());
            SSL_use_PrivateKey(client_.get(), identity->key.get());
            SSL_set_post_handshake_auth(client_.get(), 1);
        }
        if (resume) {
            SSL_set_session(client_.get(), copy(resume).get());
        }
        for (int i = 0; i < 10 && !(SSL_is_init_finished(client_.get()) && SSL_is_init_finished(server_));
             ++i) {
            SSL_do_handshake(client_.get());
            SSL_do_handshake(server_);
        }
        ERR_clear_error();
        BOOST_REQUIRE(talk());
    }
    /// A byte each way.
    bool talk() {
        char byte = 'x';
        return SSL_write(server_, &byte, 1) == 1 && SSL_read(client_.get(), &byte, 1) == 1 &&
               SSL_write(client_.get(), &byte, 1) == 1 && SSL_read(server_, &byte, 1) == 1;
    }
    /// Asks the client for a certificate now. True if it came and the connection lives.
    bool ask_for_certificate() {
        SSL_set_verify(server_, SSL_VERIFY_PEER, accept_all);
        const bool asked = SSL_version(server_) >= TLS1_3_VERSION
                               ? SSL_verify_client_post_handshake(server_) == 1
                               : SSL_renegotiate(server_) == 1;
        char byte = 0;
        bool alive = asked && SSL_do_handshake(server_) == 1;
        for (int i = 0; i < 6 && alive; ++i) {
            alive = SSL_get_error(client_.get(), SSL_read(client_.get(), &byte, 1)) == SSL_ERROR_WANT_READ &&
                    SSL_get_error(server_, SSL_read(server_, &byte, 1)) == SSL_ERROR_WANT_READ;
        }
        ERR_clear_error();
        return alive && SSL_get0_peer_certificate(server_) != nullptr && talk();
    }
    [[nodiscard]] bool resumed() const { return SSL_session_reused(client_.get()) == 1; }
    [[nodiscard]] Session session() const { return Session(SSL_get1_session(client_.get())); }
    void end() {
        SSL_shutdown(client_.get());
        SSL_shutdown(server_);
    }

  private:
    Ssl client_;
    SSL* server_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_certificate_that_is_asked_for_later_breaks_nothing) {
    const World world;
    const Ctx server = server_ctx(world.identity), client = client_ctx(TLS1_3_VERSION);
    const auto visit = [&](const Session& last, const std::function<void(Pair&)>& then) {
        const Ssl ssl(SSL_new(server.get()));
        Pair pair(client.get(), ssl.get(), "a.example", last, &world.client_identity);
        BOOST_TEST(pair.resumed() == (last != nullptr));
        then(pair);
        pair.end();
    };
    Session before, after;
    visit(nullptr, [&](Pair& pair) {
        before = pair.session();
        BOOST_REQUIRE(!ticket_of(before.get()).empty());
        BOOST_TEST(pair.ask_for_certificate());
        after = pair.session();
    });
    // Its holder has shown a certificate to a part of the server only: no ticket stands for that.
    BOOST_TEST((ticket_of(after.get()) == ticket_of(before.get())));
    for (int i = 0; i < 3; ++i) {
        visit(before, [](Pair& pair) { BOOST_TEST(pair.ask_for_certificate()); });
        visit(before, [](Pair&) {});
    }
}

BOOST_AUTO_TEST_CASE(a_renegotiation_teaches_nothing) {
    const World world;
    const Ctx server = server_ctx(world.identity), client = client_ctx(TLS1_2_VERSION);
    Session before;
    for (int i = 0; i < 3; ++i) {
        const Ssl ssl(SSL_new(server.get()));
        Pair pair(client.get(), ssl.get(), "a.example", before, &world.client_identity);
        BOOST_TEST(pair.resumed() == (i > 0));
        if (i == 0) {
            before = pair.session();
            BOOST_REQUIRE(!ticket_of(before.get()).empty());
        }
        BOOST_TEST(pair.ask_for_certificate());
        BOOST_TEST(ticket_of(pair.session().get()).empty());
        pair.end();
    }
}

BOOST_AUTO_TEST_CASE(an_ssl_that_is_used_again_makes_tickets_for_what_it_serves_now) {
    const CachingWorld world;
    SSL_CTX_set_tlsext_servername_callback(world.server.get(), keep_name);
    const Handshake by_ticket = connect(world.client.get(), world.server.get(), nullptr, "a.example");
    const Handshake by_id = connect(world.without_tickets.get(), world.server.get(), nullptr, "b.example");
    BOOST_REQUIRE(!by_ticket.ticket.empty());
    BOOST_REQUIRE(by_id.ticket.empty());
    const Ssl ssl(SSL_new(world.server.get()));
    Pair first(world.client.get(), ssl.get(), "a.example", by_ticket.session);
    BOOST_TEST(first.resumed());
    first.end();
    BOOST_REQUIRE(SSL_clear(ssl.get()) == 1);
    Pair second(world.client.get(), ssl.get(), "b.example", by_id.session);
    BOOST_TEST(second.resumed());
    const Session of_second = second.session();
    second.end();
    BOOST_REQUIRE(!ticket_of(of_second.get()).empty());
    BOOST_TEST(connect(world.client.get(), world.server.get(), of_second.get(), "b.example").resumed);
    BOOST_TEST(!connect(world.client.get(), world.server.get(), of_second.get(), "a.example").resumed);
}

// libssl knows its name only where the server has a servername callback, and a ticket for no name would open
// nothing.
BOOST_AUTO_TEST_CASE(a_cached_session_whose_name_is_not_known_gets_no_ticket) {
    const CachingWorld world;
    for (const bool known : {false, true}) {
        if (known) {
            SSL_CTX_set_tlsext_servername_callback(world.server.get(), keep_name);
        }
        const Handshake by_id =
            connect(world.without_tickets.get(), world.server.get(), nullptr, "a.example");
        const Handshake next =
            connect(world.client.get(), world.server.get(), by_id.session.get(), "a.example");
        BOOST_TEST(next.resumed);
        BOOST_TEST(next.ticket.empty() != known);
        BOOST_TEST(connect(world.client.get(), world.server.get(), next.session.get(), "a.example").resumed);
    }
}

namespace {

Session cached;  // the server's

int keep(SSL*, SSL_SESSION* session) {
    cached.reset(session);
    return 1;
}

}  // namespace

BOOST_AUTO_TEST_CASE(tickets_of_a_cached_session_end_with_it) {
    constexpr int max_lineage = 100;
    const CachingWorld world({{"max-lineage", std::to_string(max_lineage)}});
    SSL_CTX_sess_set_new_cb(world.server.get(), keep);
    SSL_CTX_set_tlsext_servername_callback(world.server.get(), keep_name);
    for (const int age : {max_lineage / 2, 2 * max_lineage}) {
        const Handshake first =
            connect(world.without_tickets.get(), world.server.get(), nullptr, "a.example");
        BOOST_REQUIRE(cached);
        SSL_SESSION_set_timeout(cached.get(), 10 * max_lineage);
        SSL_SESSION_set_time(cached.get(), std::time(nullptr) - age);
        const Handshake next =
            connect(world.client.get(), world.server.get(), first.session.get(), "a.example");
        BOOST_REQUIRE(next.resumed);
        BOOST_TEST(next.ticket.empty() == (age > max_lineage));
    }
    cached.reset();
}

// Whoever keeps a connection open gets no longer lineage by it.
BOOST_AUTO_TEST_CASE(a_ticket_that_is_made_later_ends_with_those_of_the_handshake) {
    const World world(std::map<std::string, std::string>{{"max-lineage", "2"}});
    const Ctx client = client_ctx(TLS1_3_VERSION);
    for (const std::size_t in_handshakes : {1U, 0U}) {
        const Ctx server = server_ctx(world.identity);
        SSL_CTX_set_num_tickets(server.get(), in_handshakes);
        const Ssl ssl(SSL_new(server.get()));
        Pair pair(client.get(), ssl.get(), "a.example");
        const auto later = [&] {
            BOOST_REQUIRE(SSL_new_session_ticket(ssl.get()) == 1);
            SSL_do_handshake(ssl.get());
            BOOST_REQUIRE(pair.talk());
            return pair.session();
        };
        const Session at_once = later();
        BOOST_TEST(connect(client.get(), server.get(), copy(at_once).get(), "a.example").resumed);
        const std::time_t begin = std::time(nullptr);
        while (std::time(nullptr) < begin + 4) {
            ::usleep(100'000);
        }
        const Session too_late = later();
        BOOST_TEST(!connect(client.get(), server.get(), copy(too_late).get(), "a.example").resumed);
        pair.end();
    }
}

// Its context is then the one of the last name, where the next is looked at.
BOOST_AUTO_TEST_CASE(an_ssl_that_is_cleared_may_be_switched_again) {
    const World world;
    const Identity another("c.example");
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        const Ctx front = server_ctx(world.identity), b = server_ctx(world.identity), c = server_ctx(another);
        struct Targets {
            SSL_CTX *b, *c;
        } targets{b.get(), c.get()};
        for (const auto* ctx : {&front, &b, &c}) {
            SSL_CTX_set_tlsext_servername_arg(ctx->get(), &targets);
            SSL_CTX_set_tlsext_servername_callback(
                ctx->get(), static_cast<int (*)(SSL*, int*, void*)>([](SSL* ssl, int*, void* to) {
                    const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
                    const auto* both = static_cast<const Targets*>(to);
                    SSL_set_SSL_CTX(ssl, name != nullptr && *name == 'b' ? both->b : both->c);
                    return SSL_TLSEXT_ERR_OK;
                }));
        }
        const Ctx client = client_ctx(version);
        const Ssl ssl(SSL_new(front.get()));
        Session last[2];
        for (int i = 0; i < 12; ++i) {
            Session& session = last[i % 2];
            Pair pair(client.get(), ssl.get(), i % 2 == 0 ? "b.example" : "c.example", session);
            BOOST_TEST_INFO(i);
            BOOST_TEST((i < 6 || pair.resumed()));
            session = pair.session();
            pair.end();
            BOOST_REQUIRE(SSL_clear(ssl.get()) == 1);
        }
    }
}
