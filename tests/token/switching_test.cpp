// Servers that switch to another SSL_CTX by the server name, which they do after libssl has opened the
// ticket: what the last context demands of clients holds for tickets too. Each case in a process of its own.
#define BOOST_TEST_MODULE switching
#define OPENSSL_SUPPRESS_DEPRECATED  // TLSv1_2_client_method()
#include "tests/fixtures/known_ring.hpp"
#include "tests/fixtures/memory_tls.hpp"

#include <boost/test/unit_test.hpp>
#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/tls1.h>

using namespace stek::tests;

namespace {

constexpr int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

struct World {
    World() {
        ring.add_current();
        const auto conf = ring.write_conf(ring.section({{"attach", "yes"}}));
        BOOST_REQUIRE(CONF_modules_load_file(conf.c_str(), nullptr, 0) == 1);
    }
    /// Asks for certificates that `ca` signed, by its list; accepts whatever comes.
    Ctx strict(const Identity& identity, const Identity& ca) const {
        Ctx ctx = server_ctx(identity);
        SSL_CTX_set_verify(ctx.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                           [](int, X509_STORE_CTX*) { return 1; });
        SSL_CTX_add_client_CA(ctx.get(), ca.certificate.get());
        return ctx;
    }
    KnownRing ring;
    Identity identity{"a.example"}, ca_one{"CA 1"}, ca_two{"CA 2"}, client_one{"client"};
};

/// A listener: connections begin with `front`, those for b.example go on with `target` (which may be null).
struct Listener {
    explicit Listener(const Identity& identity, SSL_CTX* to = nullptr)
        : front(server_ctx(identity)), target(to) {
        SSL_CTX_set_tlsext_servername_callback(front.get(), switch_context);
        SSL_CTX_set_tlsext_servername_arg(front.get(), this);
    }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    static int switch_context(SSL* ssl, int*, void* self) {
        const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        SSL_CTX* target = static_cast<Listener*>(self)->target;
        if (name != nullptr && std::string(name) == "b.example" && target != nullptr) {
            SSL_set_SSL_CTX(ssl, target);
            SSL_set_verify(ssl, SSL_CTX_get_verify_mode(target), SSL_CTX_get_verify_callback(target));
        }
        return SSL_TLSEXT_ERR_OK;
    }
    Ctx front;
    SSL_CTX* target;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_ticket_is_for_the_context_that_serves_in_the_end) {
    const World world;
    const Ctx strict_one = world.strict(world.identity, world.ca_one);
    const Ctx strict_two = world.strict(world.identity, world.ca_two);
    const Listener one(world.identity, strict_one.get());
    const Listener two(world.identity, strict_two.get());
    for (const int version : versions) {
        const Ctx client = client_ctx(version);
        const auto at = [&](const Listener& listener, SSL_SESSION* session, const char* name) {
            Handshake result = connect(client.get(), listener.front.get(), session, name, &world.client_one);
            BOOST_REQUIRE_MESSAGE(result.done, result.error);
            return result;
        };
        const Handshake first = at(one, nullptr, "b.example");
        BOOST_REQUIRE(!first.ticket.empty());
        // The very attack: accepted by one CA's context, on to the other's. Before and after the other
        // listener has been seen with this name.
        BOOST_TEST(!at(two, first.session.get(), "b.example").resumed);
        BOOST_TEST(!at(two, first.session.get(), "b.example").resumed);
        BOOST_TEST(!at(two, first.session.get(), "a.example").resumed);
        BOOST_TEST(!at(one, first.session.get(), "a.example").resumed);
        // Where it was made it resumes, and so does its successor.
        const Handshake second = at(one, first.session.get(), "b.example");
        BOOST_TEST(second.resumed);
        if (version == TLS1_3_VERSION) {
            BOOST_TEST(at(one, second.session.get(), "b.example").resumed);
        }
        // Who is not switched at all has his tickets as ever.
        const Handshake plain = at(two, nullptr, "a.example");
        BOOST_TEST(at(two, plain.session.get(), "a.example").resumed);
        BOOST_TEST(!at(two, plain.session.get(), "b.example").resumed);
        BOOST_TEST(ERR_peek_error() == 0U);
    }
}

BOOST_AUTO_TEST_CASE(without_client_authentication_a_first_contact_resumes) {
    const World world;
    const Identity other("b.example");
    const Ctx target = server_ctx(other);
    const Listener one(world.identity, target.get());
    for (const int version : versions) {
        const Ctx client = client_ctx(version);
        const Handshake first = connect(client.get(), one.front.get(), nullptr, "a.example");
        const Listener new_worker(world.identity, target.get());
        BOOST_TEST(connect(client.get(), new_worker.front.get(), first.session.get(), "a.example").resumed);
        // The name that is switched: a full handshake teaches where it goes, from then on it resumes.
        const Handshake switched = connect(client.get(), one.front.get(), nullptr, "b.example");
        const Handshake again = connect(client.get(), one.front.get(), switched.session.get(), "b.example");
        BOOST_TEST(again.resumed);
        SSL_SESSION* last = switched.session.get();
        const Handshake taught = connect(client.get(), new_worker.front.get(), last, "b.example");
        BOOST_REQUIRE_MESSAGE(taught.done, taught.error);
        BOOST_TEST(!taught.resumed);
        BOOST_TEST(connect(client.get(), new_worker.front.get(), last, "b.example").resumed);
    }
}

BOOST_AUTO_TEST_CASE(an_open_context_s_ticket_gets_into_no_other) {
    const World world;
    const Ctx strict = world.strict(world.identity, world.ca_one);
    const Listener open(world.identity);
    for (const int version : versions) {
        const Listener closed(world.identity, strict.get());
        const Ctx client = client_ctx(version);
        const Handshake first = connect(client.get(), open.front.get(), nullptr, "b.example");
        BOOST_REQUIRE(!first.ticket.empty());
        // Neither at first contact, when nothing is known of where the name goes, nor later: full handshakes.
        for (int i = 0; i < 3; ++i) {
            const Handshake third = connect(client.get(), closed.front.get(), first.session.get(),
                                            "b.example", &world.client_one);
            BOOST_REQUIRE_MESSAGE(third.done, third.error);
            BOOST_TEST(!third.resumed);
        }
        const Handshake again = connect(client.get(), open.front.get(), nullptr, "b.example");
        BOOST_TEST(connect(client.get(), open.front.get(), again.session.get(), "b.example").resumed);
    }
}

// As Node does: what the SSL_CTX says of clients is not what holds.
BOOST_AUTO_TEST_CASE(an_ssl_that_asks_by_itself_takes_no_ticket_of_one_that_does_not) {
    const World world;
    const Ctx open = server_ctx(world.identity), strict = server_ctx(world.identity);
    SSL_CTX_add_client_CA(strict.get(), world.ca_one.certificate.get());
    SSL_CTX_add_client_CA(open.get(), world.ca_one.certificate.get());
    SSL_CTX_set_client_hello_cb(
        strict.get(),
        [](SSL* ssl, int*, void*) {
            SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                           [](int, X509_STORE_CTX*) { return 1; });
            return SSL_CLIENT_HELLO_SUCCESS;
        },
        nullptr);
    for (const int version : versions) {
        const Ctx client = client_ctx(version);
        const Handshake of_open = connect(client.get(), open.get(), nullptr, "a.example");
        for (int i = 0; i < 2; ++i) {
            const Handshake intruder =
                connect(client.get(), strict.get(), of_open.session.get(), "a.example");
            BOOST_TEST(!intruder.done);
            BOOST_TEST(!intruder.resumed);
            ERR_clear_error();
            BOOST_TEST(
                !connect(client.get(), strict.get(), of_open.session.get(), "a.example", &world.client_one)
                     .resumed);
        }
        const Handshake of_strict =
            connect(client.get(), strict.get(), nullptr, "a.example", &world.client_one);
        BOOST_TEST(connect(client.get(), strict.get(), of_strict.session.get(), "a.example").resumed);
        const Handshake again = connect(client.get(), strict.get(), nullptr, "a.example", &world.client_one);
        BOOST_TEST(!connect(client.get(), open.get(), again.session.get(), "a.example").resumed);
        BOOST_TEST(connect(client.get(), open.get(), of_open.session.get(), "a.example").resumed);
    }
}

BOOST_AUTO_TEST_CASE(a_route_that_changes_lets_nobody_in) {
    const World world;
    const Ctx open = server_ctx(world.identity);
    for (const int version : versions) {
        Listener listener(world.identity, open.get());
        const Ctx client = client_ctx(version);
        const auto visit = [&](const Handshake& last, const Identity* who = nullptr) {
            return connect(client.get(), listener.front.get(), last.session.get(), "b.example", who);
        };
        const Handshake first = visit({});
        BOOST_TEST(visit(first).resumed);
        const Ctx strict = world.strict(world.identity, world.ca_one);
        listener.target = strict.get();
        // No certificate was shown, and the server would think that one was.
        const Handshake wrong = visit(first);
        BOOST_TEST(!wrong.done);
        ERR_clear_error();
        // Now it is known: a full handshake.
        const Handshake next = visit(first, &world.client_one);
        BOOST_REQUIRE_MESSAGE(next.done, next.error);
        BOOST_TEST(!next.resumed);
        // The other way there is nothing to get: no new ticket, but no failure.
        listener.target = open.get();
        BOOST_TEST(visit(next, &world.client_one).done);
        const Handshake last = visit(next, &world.client_one);
        BOOST_TEST(last.done);
        BOOST_TEST(!last.resumed);
    }
}

// The forecast is held against what came true when the next ticket is made: where none will be, it cannot be.
BOOST_AUTO_TEST_CASE(who_makes_no_tickets_opens_none_beside_client_authentication) {
    const World world;
    const Ctx open = server_ctx(world.identity);
    Listener listener(world.identity, open.get());
    const Ctx client = client_ctx(TLS1_3_VERSION);
    const auto visit = [&](const Handshake& last) {
        Handshake result =
            connect(client.get(), listener.front.get(), last.session.get(), "b.example", &world.client_one);
        BOOST_REQUIRE_MESSAGE(result.done, result.error);
        return result;
    };
    const Handshake first = visit({});
    SSL_CTX_set_num_tickets(listener.front.get(), 0);
    BOOST_TEST(visit(first).resumed);
    const Ctx strict = world.strict(world.identity, world.ca_one);
    listener.target = strict.get();
    BOOST_TEST(!visit(first).resumed);
}

// A program that is a client, too, with a certificate of its own and verifying its servers.
BOOST_AUTO_TEST_CASE(a_client_s_context_is_no_server_s) {
    const World world;
    const Ctx target = server_ctx(world.identity), out(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_use_certificate(out.get(), world.client_one.certificate.get());
    SSL_CTX_use_PrivateKey(out.get(), world.client_one.key.get());
    SSL_CTX_set_verify(out.get(), SSL_VERIFY_PEER, nullptr);
    const Listener one(world.identity), two(world.identity);
    for (const int version : versions) {
        const Ctx client = client_ctx(version);
        const std::string name = version == TLS1_2_VERSION ? "c.example" : "d.example";
        const Handshake first = connect(client.get(), one.front.get(), nullptr, name);
        BOOST_TEST(connect(client.get(), two.front.get(), first.session.get(), name).resumed);
    }
}

// Some clients that are given a new ticket in a resumed TLS 1.2 connection keep neither: it is renewed only
// once after a context was made, to see whether names lead elsewhere now.
BOOST_AUTO_TEST_CASE(in_tls_1_2_a_ticket_is_renewed_once_after_a_context_was_made) {
    const World world;
    const Ctx open = server_ctx(world.identity);
    const Listener listener(world.identity, open.get());
    const Ctx client = client_ctx(TLS1_2_VERSION);
    const auto visit = [&](const Handshake& last) {
        return connect(client.get(), listener.front.get(), last.session.get(), "b.example");
    };
    const Handshake first = visit({});
    const Ctx strict = world.strict(world.identity, world.ca_one);
    for (int i = 0; i < 4; ++i) {
        const Handshake next = visit(first);
        BOOST_TEST(next.resumed);
        BOOST_TEST((next.ticket != first.ticket) == (i == 0));
    }
}

// As Node does for contexts by name: certificate and authorities are the SSL's, given in a callback that
// libssl leaves out in a resumed connection.
BOOST_AUTO_TEST_CASE(what_the_certificate_callback_gives_holds_for_tickets) {
    const World world;
    const Identity another("b.example");
    struct ByName {
        const Identity* identity;
        const Identity* authority;
        static int choose(SSL* ssl, void* self) {
            const auto* by_name = static_cast<const ByName*>(self);
            const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
            if (name != nullptr && std::string(name) == "b.example" && by_name->identity != nullptr) {
                SSL_use_certificate(ssl, by_name->identity->certificate.get());
                SSL_use_PrivateKey(ssl, by_name->identity->key.get());
                auto* names = sk_X509_NAME_new_null();
                sk_X509_NAME_push(
                    names, X509_NAME_dup(X509_get_subject_name(by_name->authority->certificate.get())));
                SSL_set_client_CA_list(ssl, names);
            }
            return 1;
        }
    };
    for (const int version : versions) {
        const Ctx client = client_ctx(version);
        // Each is a server of its own, as after a change and a restart.
        const auto serve = [&](ByName& by_name, bool asks) {
            Ctx ctx = server_ctx(world.identity);
            SSL_CTX_add_client_CA(ctx.get(), world.ca_one.certificate.get());
            if (asks) {
                SSL_CTX_set_verify(ctx.get(), SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
            }
            SSL_CTX_set_cert_cb(ctx.get(), ByName::choose, &by_name);
            return ctx;
        };
        for (const bool asks : {false, true}) {
            ByName none{nullptr, nullptr}, two{&another, &world.ca_two};
            const Ctx plain = serve(none, asks), by_name = serve(two, asks);
            const Ctx context_of_the_name = server_ctx(another);
            const auto at = [&](const Ctx& ctx, const Handshake& last) {
                Handshake result =
                    connect(client.get(), ctx.get(), last.session.get(), "b.example", &world.client_one);
                BOOST_REQUIRE_MESSAGE(result.done, result.error);
                return result;
            };
            // Where it was made it resumes, each time but the first: until a ticket is offered, it is not
            // known that this is not what the context itself has now.
            Handshake last = at(by_name, at(by_name, {}));
            BOOST_TEST(!last.resumed);
            for (int i = 0; i < 4; ++i) {
                last = at(by_name, last);
                BOOST_TEST(last.resumed);
            }
            // Nor does another certificate's, or another authority's.
            const Handshake of_plain = at(plain, {});
            for (int i = 0; i < 2; ++i) {
                BOOST_TEST(!at(by_name, of_plain).resumed);
                BOOST_TEST(!at(plain, last).resumed);
            }
            if (asks) {
                const Ctx never_met = serve(two, asks);
                BOOST_TEST(!at(never_met, of_plain).resumed);
                BOOST_TEST(!at(never_met, of_plain).resumed);
            }
        }
    }
}

// As a program does that reads its configuration anew and has one context.
BOOST_AUTO_TEST_CASE(a_context_that_is_changed_in_its_place_takes_no_ticket_from_before) {
    const World world;
    for (const int version : versions) {
        const Ctx client = client_ctx(version), server = world.strict(world.identity, world.ca_one);
        const auto visit = [&](const Handshake& last) {
            Handshake result =
                connect(client.get(), server.get(), last.session.get(), "a.example", &world.client_one);
            BOOST_REQUIRE_MESSAGE(result.done, result.error);
            return result;
        };
        Handshake last = visit(visit({}));
        BOOST_TEST(last.resumed);
        auto* names = sk_X509_NAME_new_null();
        sk_X509_NAME_push(names, X509_NAME_dup(X509_get_subject_name(world.ca_two.certificate.get())));
        SSL_CTX_set_client_CA_list(server.get(), names);
        const Handshake full = visit(last);
        BOOST_TEST(!full.resumed);
        BOOST_TEST(!visit(last).resumed);
        BOOST_TEST(visit(full).resumed);
    }
}

// nginx with variables in ssl_certificate: neither here does a context without a certificate belong to a
// client.
BOOST_AUTO_TEST_CASE(a_context_without_a_certificate_may_be_a_server_s) {
    const World world;
    for (const int version : versions) {
        const Ctx client = client_ctx(version);
        Handshake first;
        {
            const Listener before(world.identity);
            first = connect(client.get(), before.front.get(), nullptr, "b.example");
            BOOST_REQUIRE(!first.ticket.empty());
        }
        Ctx late(SSL_CTX_new(TLS_method()));
        constexpr unsigned char id[] = "test";
        SSL_CTX_set_session_id_context(late.get(), id, sizeof id - 1);
        SSL_CTX_set_verify(late.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                           [](int, X509_STORE_CTX*) { return 1; });
        SSL_CTX_set_cert_cb(
            late.get(),
            [](SSL* ssl, void* identity) {
                const auto* to_show = static_cast<const Identity*>(identity);
                SSL_use_certificate(ssl, to_show->certificate.get());
                return SSL_use_PrivateKey(ssl, to_show->key.get());
            },
            const_cast<Identity*>(&world.identity));
        const Listener listener(world.identity, late.get());
        const auto visit = [&](const Handshake& last) {
            return connect(client.get(), listener.front.get(), last.session.get(), "b.example",
                           &world.client_one);
        };
        const Handshake contact = visit(first);
        BOOST_REQUIRE_MESSAGE(contact.done, contact.error);
        BOOST_TEST(!contact.resumed);
        Handshake last = visit(contact);
        BOOST_TEST(last.resumed);
        BOOST_TEST(visit(last).resumed);
        BOOST_TEST(!visit(first).resumed);
    }
}

BOOST_AUTO_TEST_CASE(who_asks_takes_no_ticket_at_first_contact_where_it_may_go_on_to_who_does_not) {
    const World world;
    const auto ask = [&](const Ctx& ctx) {
        SSL_CTX_set_verify(ctx.get(), SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
    };
    for (const int version : versions) {
        const Ctx client = client_ctx(version);
        Handshake first;
        {
            const Listener before(world.identity);
            ask(before.front);
            first = connect(client.get(), before.front.get(), nullptr, "b.example", &world.client_one);
            BOOST_REQUIRE(!first.ticket.empty());
        }
        // The only context of the process that asks is the one where each connection begins.
        const Ctx open = server_ctx(world.identity);
        const Listener listener(world.identity, open.get());
        ask(listener.front);
        const Handshake contact =
            connect(client.get(), listener.front.get(), first.session.get(), "b.example", &world.client_one);
        BOOST_REQUIRE_MESSAGE(contact.done, contact.error);
        BOOST_TEST(!contact.resumed);
    }
}

// No context asks for client certificates, so that a first contact is resumed on a guess. It was wrong.
BOOST_AUTO_TEST_CASE(another_certificate_s_ticket_is_taken_once_at_most) {
    const World world;
    const Identity another("b.example");
    for (const int version : versions) {
        const Listener here(world.identity);
        const Ctx client = client_ctx(version), target = server_ctx(another);
        const Handshake first = connect(client.get(), here.front.get(), nullptr, "b.example");
        BOOST_REQUIRE(!first.ticket.empty());
        const Listener elsewhere(world.identity, target.get());
        BOOST_TEST(connect(client.get(), elsewhere.front.get(), first.session.get(), "b.example").done);
        for (int i = 0; i < 3; ++i) {
            const Handshake next =
                connect(client.get(), elsewhere.front.get(), first.session.get(), "b.example");
            BOOST_TEST(next.done);
            BOOST_TEST(!next.resumed);
        }
    }
}

// libssl does not call the certificate callback in a resumed connection, which stays where it began.
BOOST_AUTO_TEST_CASE(a_context_may_be_chosen_in_the_certificate_callback) {
    const World world;
    const Identity another("b.example");
    const auto choose = [](SSL* ssl, void* target) {
        return SSL_set_SSL_CTX(ssl, static_cast<SSL_CTX*>(target)) != nullptr ? 1 : 0;
    };
    for (const int version : versions) {
        const Ctx client = client_ctx(version);
        const auto visit = [&](const Ctx& front, const Handshake& last) {
            return connect(client.get(), front.get(), last.session.get(), "b.example", &world.client_one);
        };
        const Ctx open = server_ctx(world.identity), open_target = server_ctx(another);
        SSL_CTX_set_cert_cb(open.get(), choose, open_target.get());
        Handshake last = visit(open, {});
        for (int i = 0; i < 5; ++i) {
            Handshake next = visit(open, last);
            BOOST_REQUIRE_MESSAGE(next.done, next.error);
            BOOST_TEST(next.resumed);
            last = std::move(next);
        }
        // Where both ask, for others, it cannot be told from a program that sends the name elsewhere by now:
        // one is refused, no more.
        const Ctx front = world.strict(world.identity, world.ca_one);
        const Ctx target = world.strict(another, world.ca_two);
        SSL_CTX_set_cert_cb(front.get(), choose, target.get());
        int refused = 0;
        last = visit(front, {});
        for (int i = 0; i < 6; ++i) {
            Handshake next = visit(front, last);
            ERR_clear_error();
            refused += next.done ? 0 : 1;
            if (next.done) {
                last = std::move(next);
            }
        }
        BOOST_TEST(refused <= 1);
    }
}

// A program that goes by the address first (SSL_set_SSL_CTX before the handshake), and by the name then.
BOOST_AUTO_TEST_CASE(who_is_switched_before_the_handshake_may_be_switched_again) {
    const World world;
    const Identity another("b.example");
    for (const int version : versions) {
        const Ctx client = client_ctx(version), first = server_ctx(world.identity);
        const Ctx open = server_ctx(another);
        Listener listener(world.identity, open.get());
        const Listener stranger(world.identity);
        const auto visit = [&](const Handshake& last, const Identity* who = nullptr) {
            return connect(client.get(), first.get(), last.session.get(), "b.example", who, false,
                           [&](SSL* ssl) { SSL_set_SSL_CTX(ssl, listener.front.get()); });
        };
        // It is known after a ticket was offered.
        Handshake last = visit(visit({}));
        for (int i = 0; i < 4; ++i) {
            Handshake next = visit(last);
            BOOST_REQUIRE_MESSAGE(next.done, next.error);
            BOOST_TEST(next.resumed);
            last = std::move(next);
        }
        // A stranger's ticket, where the name leads to who asks: in a process that has not met it. In
        // TLS 1.2, where it cannot be told from a choice by the ClientHello, that is noticed when the
        // connection is freed.
        const Handshake of_stranger = connect(client.get(), stranger.front.get(), nullptr, "b.example");
        const Ctx strict = world.strict(world.identity, world.ca_one), unmet = server_ctx(world.identity);
        Listener closed(world.identity, strict.get());
        for (int i = 0; i < 3; ++i) {
            const Handshake intruder =
                connect(client.get(), unmet.get(), of_stranger.session.get(), "b.example", nullptr, false,
                        [&](SSL* ssl) { SSL_set_SSL_CTX(ssl, closed.front.get()); });
            BOOST_TEST((!intruder.done || (i == 0 && version == TLS1_2_VERSION)));
            ERR_clear_error();
        }
    }
}

// What a connection ends as may depend on more than its name: who has shown no certificate and need not is
// refused nowhere.
BOOST_AUTO_TEST_CASE(an_anonymous_client_is_served_where_a_certificate_is_optional) {
    const World world;
    for (const int version : versions) {
        const Ctx server = server_ctx(world.identity);
        SSL_CTX_set_alpn_select_cb(
            server.get(),
            [](SSL* ssl, const unsigned char** out, unsigned char* size, const unsigned char* in, unsigned,
               void*) {
                *out = in + 1;
                *size = in[0];
                SSL_set_verify(ssl, in[1] == 'b' ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                               [](int, X509_STORE_CTX*) { return 1; });
                return SSL_TLSEXT_ERR_OK;
            },
            nullptr);
        const Ctx a = client_ctx(version), b = client_ctx(version);
        constexpr unsigned char speaks_a[] = "\1a", speaks_b[] = "\1b";
        SSL_CTX_set_alpn_protos(a.get(), speaks_a, 2);
        SSL_CTX_set_alpn_protos(b.get(), speaks_b, 2);
        Handshake last;
        for (int i = 0; i < 8; ++i) {
            Handshake next =
                connect((i % 2 == 0 ? a : b).get(), server.get(), last.session.get(), "a.example");
            BOOST_TEST(next.done, next.error);
            last = std::move(next);
        }
    }
}

// --- what one outlook cannot know: each ends in a full handshake, which the context then may refuse ---

namespace {

int anybody(int, X509_STORE_CTX*) {
    return 1;
}

/// Names lead to other contexts by the servername callback, as in nginx, whose target may make no tickets.
struct Names {
    explicit Names(const Identity& identity) : front(server_ctx(identity)) {
        SSL_CTX_set_tlsext_servername_callback(front.get(), go);
        SSL_CTX_set_tlsext_servername_arg(front.get(), this);
    }
    Names(const Names&) = delete;
    Names& operator=(const Names&) = delete;
    static int go(SSL* ssl, int*, void* self) {
        const auto& names = *static_cast<Names*>(self);
        const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        const std::string text = name != nullptr ? name : "";
        SSL_CTX* const to = text == "open.example"     ? names.open
                            : text == "closed.example" ? names.closed
                                                       : nullptr;
        if (to != nullptr) {
            SSL_set_SSL_CTX(ssl, to);
            SSL_set_verify(ssl, SSL_CTX_get_verify_mode(to), anybody);
            if (to == names.closed && names.closed_makes_none) {
                SSL_set_options(ssl, SSL_OP_NO_TICKET);
            }
        }
        return SSL_TLSEXT_ERR_OK;
    }
    Ctx front;
    SSL_CTX *open = nullptr, *closed = nullptr;
    bool closed_makes_none = false;
};

/// Two ends, step by step.
struct Ends {
    Ends(SSL_CTX* client_ctx, SSL_CTX* server_ctx)
        : client(SSL_new(client_ctx)), server(SSL_new(server_ctx)) {
        BIO *one = nullptr, *other = nullptr;
        constexpr std::size_t room = 1 << 17;
        BIO_new_bio_pair(&one, room, &other, room);
        SSL_set_bio(client, one, one);
        SSL_set_bio(server, other, other);
        SSL_set_connect_state(client);
        SSL_set_accept_state(server);
    }
    Ends(const Ends&) = delete;
    Ends& operator=(const Ends&) = delete;
    ~Ends() {
        SSL_free(client);
        SSL_free(server);
        ERR_clear_error();
    }
    /// Until both are done, or nothing moves any more.
    bool shake() const {
        for (int turn = 0; turn < 20 && !(SSL_is_init_finished(client) && SSL_is_init_finished(server));
             ++turn) {
            SSL_do_handshake(client);
            SSL_do_handshake(server);
        }
        return SSL_is_init_finished(client) && SSL_is_init_finished(server);
    }
    [[nodiscard]] bool nobody_got_into(const SSL_CTX* closed) const {
        return !(SSL_is_init_finished(server) && SSL_get_SSL_CTX(server) == closed);
    }
    SSL *client, *server;
};

/// In its second ClientHello, the client offers the ticket under the other name.
struct SecondHello {
    SSL_SESSION* session;
    static void on_message(int written, int, int type, const void* bytes, std::size_t size, SSL* ssl,
                           void* self) {
        constexpr std::size_t random_at = 6, least = 38;
        const auto* const message = static_cast<const unsigned char*>(bytes);
        const bool asks_again = written == 0 && type == SSL3_RT_HANDSHAKE && size > least &&
                                message[0] == 2 && message[random_at] == 0xCF &&
                                message[random_at + 1] == 0x21;
        if (asks_again) {
            SSL_set_tlsext_host_name(ssl, "closed.example");
            SSL_set_session(ssl, static_cast<SecondHello*>(self)->session);
        }
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_second_client_hello_of_another_name_gets_into_nothing) {
    const World world;
    const Ctx client = client_ctx(TLS1_3_VERSION);
    SSL_CTX_set1_groups_list(client.get(), "X25519:P-256");
    const Ctx open_elsewhere = server_ctx(world.identity);
    for (const bool by_option : {true, false}) {
        const Handshake minted = connect(client.get(), open_elsewhere.get(), nullptr, "closed.example");
        BOOST_REQUIRE(!minted.ticket.empty());
        Names names(world.identity);
        const Ctx open = server_ctx(world.identity), closed = world.strict(world.identity, world.ca_one);
        names.open = open.get();
        names.closed = closed.get();
        names.closed_makes_none = by_option;
        for (SSL_CTX* ctx : {names.front.get(), names.open, names.closed}) {
            SSL_CTX_set1_groups_list(ctx, "P-256");
            if (!by_option) {
                SSL_CTX_set_num_tickets(ctx, 0);
            }
        }
        const Ends ends(client.get(), names.front.get());
        SSL_set_tlsext_host_name(ends.client, "open.example");
        SecondHello second{minted.session.get()};
        SSL_set_msg_callback(ends.client, SecondHello::on_message);
        SSL_set_msg_callback_arg(ends.client, &second);
        ends.shake();
        BOOST_TEST(ends.nobody_got_into(names.closed));
        // Who keeps to his name is served with one more round, and resumes.
        const Handshake first = connect(client.get(), names.front.get(), nullptr, "open.example");
        BOOST_REQUIRE_MESSAGE(first.done, first.error);
        if (by_option) {
            BOOST_TEST(connect(client.get(), names.front.get(), first.session.get(), "open.example").resumed);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_renegotiation_under_another_name_gets_into_nothing) {
    const World world;
    const Ctx client = client_ctx(TLS1_2_VERSION);
    const Listener elsewhere(world.identity);
    const Handshake minted = connect(client.get(), elsewhere.front.get(), nullptr, "closed.example");
    Names names(world.identity);
    const Ctx open = server_ctx(world.identity), closed = world.strict(world.identity, world.ca_one);
    names.open = open.get();
    names.closed = closed.get();
    // One that may choose its version does not get as far.
    const Ctx renegotiating(SSL_CTX_new(TLSv1_2_client_method()));
    const Ends ends(renegotiating.get(), names.front.get());
    SSL_set_tlsext_host_name(ends.client, "open.example");
    BOOST_REQUIRE(ends.shake());
    char byte = 'x';
    BOOST_REQUIRE((SSL_write(ends.server, &byte, 1) == 1 && SSL_read(ends.client, &byte, 1) == 1));
    SSL_set_tlsext_host_name(ends.client, "closed.example");
    SSL_set_session(ends.client, minted.session.get());
    SSL_renegotiate(ends.server);
    SSL_do_handshake(ends.server);
    for (int turn = 0; turn < 8; ++turn) {
        SSL_read(ends.client, &byte, 1);
        SSL_read(ends.server, &byte, 1);
    }
    BOOST_TEST((SSL_session_reused(ends.server) == 0 || SSL_get_SSL_CTX(ends.server) != names.closed));
}

BOOST_AUTO_TEST_CASE(what_a_program_gives_or_relaxes_is_no_leave_for_ever) {
    const World world;
    static const Identity* given;
    given = &world.ca_two;
    for (const int version : versions) {
        const Ctx client = client_ctx(version);
        const auto at = [&](SSL_CTX* ctx, SSL_SESSION* session) {
            return connect(client.get(), ctx, session, "a.example");
        };
        // The certificate is given in the certificate callback; then the context begins to ask.
        const Ctx asks_later = server_ctx(world.identity);
        SSL_CTX_set_cert_cb(
            asks_later.get(),
            [](SSL* ssl, void*) {
                SSL_use_certificate(ssl, given->certificate.get());
                return SSL_use_PrivateKey(ssl, given->key.get());
            },
            nullptr);
        Handshake last = at(asks_later.get(), nullptr);
        for (int i = 0; i < 2; ++i) {
            Handshake next = at(asks_later.get(), last.session.get());
            BOOST_REQUIRE_MESSAGE(next.done, next.error);
            last = std::move(next);
        }
        BOOST_TEST(last.resumed);
        SSL_CTX_set_verify(asks_later.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, anybody);
        for (int i = 0; i < 3; ++i) {
            BOOST_TEST(!at(asks_later.get(), last.session.get()).done);
        }
        // A context asks, and the servername callback lets that be, for as long as the name is public.
        static bool is_public;
        is_public = true;
        const Ctx relaxed = world.strict(world.identity, world.ca_one);
        SSL_CTX_set_tlsext_servername_callback(
            relaxed.get(), +[](SSL* ssl, int*, void*) {
                if (is_public) {
                    SSL_set_verify(ssl, SSL_VERIFY_NONE, nullptr);
                }
                return SSL_TLSEXT_ERR_OK;
            });
        last = at(relaxed.get(), nullptr);
        for (int i = 0; i < 3; ++i) {
            Handshake next = at(relaxed.get(), last.session.get());
            BOOST_REQUIRE_MESSAGE(next.done, next.error);
            last = std::move(next);
        }
        is_public = false;
        for (int i = 0; i < 3; ++i) {
            BOOST_TEST(!at(relaxed.get(), last.session.get()).done);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_name_that_is_switched_no_more_takes_no_ticket_of_the_other_certificate) {
    const World world;
    const Identity other("b.example");
    for (const int version : versions) {
        const Ctx client = client_ctx(version), target = server_ctx(other);
        Listener listener(world.identity, target.get());
        const auto at = [&](SSL_SESSION* session) {
            Handshake result = connect(client.get(), listener.front.get(), session, "b.example");
            BOOST_REQUIRE_MESSAGE(result.done, result.error);
            return result;
        };
        Handshake last = at(nullptr);
        for (int i = 0; i < 3; ++i) {
            last = at(last.session.get());
        }
        BOOST_REQUIRE(last.resumed);
        listener.target = nullptr;
        unsigned taken = 0;
        for (int i = 0; i < 4; ++i) {
            taken += at(last.session.get()).resumed ? 1 : 0;
        }
        // The first finds it out.
        BOOST_TEST(taken <= 1U);
    }
}

BOOST_AUTO_TEST_CASE(a_context_of_before_is_reckoned_with) {
    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
    const Identity identity("a.example"), ca("CA");
    const Ctx closed = server_ctx(identity);
    SSL_CTX_set_verify(closed.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, anybody);
    const World world;
    const Ctx client = client_ctx(TLS1_2_VERSION), elsewhere = server_ctx(identity);
    const Handshake minted = connect(client.get(), elsewhere.get(), nullptr, "b.example");
    BOOST_REQUIRE(!minted.ticket.empty());
    const Listener listener(identity, closed.get());
    // Once it was seen, no first contact goes there any more.
    (void)connect(client.get(), listener.front.get(), nullptr, "b.example", &world.client_one);
    const Listener new_listener(identity, closed.get());
    BOOST_TEST(!connect(client.get(), new_listener.front.get(), minted.session.get(), "b.example").done);
}
