// What is known of a context that lives for long and gets other certificates meanwhile.
#define BOOST_TEST_MODULE context_facts
#include "provider/context_facts.hpp"

#include "tests/fixtures/memory_tls.hpp"

#include <boost/test/unit_test.hpp>
#include <openssl/crypto.h>
#include <openssl/x509.h>

using namespace stek;
using namespace stek::tests;

namespace {

unsigned certificates_freed = 0;

void count_free(void*, void*, CRYPTO_EX_DATA*, int, long, void*) {
    ++certificates_freed;
}

void use(SSL_CTX* ctx, const Identity& identity) {
    BOOST_REQUIRE(SSL_CTX_use_certificate(ctx, identity.certificate.get()) == 1);
    BOOST_REQUIRE(SSL_CTX_use_PrivateKey(ctx, identity.key.get()) == 1);
}

}  // namespace

BOOST_AUTO_TEST_CASE(facts_follow_the_certificate_and_let_go_of_the_one_before) {
    BOOST_REQUIRE(CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_X509, 0, nullptr, nullptr, nullptr, count_free) >=
                  0);
    const LibSsl& libssl = *LibSsl::load();
    FactsOfContext facts;
    const ContextFacts *first = nullptr, *again = nullptr;
    const Identity one("a.example");
    const Ctx ctx = server_ctx(one);
    {
        const Identity two("a.example");
        first = facts.of(libssl, ctx.get());
        BOOST_REQUIRE(first != nullptr);
        use(ctx.get(), two);
        BOOST_TEST((facts.of(libssl, ctx.get()) != first));
        BOOST_TEST((facts.of(libssl, ctx.get()) == facts.of(libssl, ctx.get())));
        use(ctx.get(), one);
        again = facts.of(libssl, ctx.get());
    }
    BOOST_TEST((again == first));
    BOOST_TEST(certificates_freed == 1U);
    for (unsigned i = 0; i < 20; ++i) {
        const Identity more("a.example");
        use(ctx.get(), more);
        BOOST_REQUIRE(facts.of(libssl, ctx.get()) != nullptr);
    }
    BOOST_TEST(certificates_freed == 1U + 19U);  // the last one is in use
}

// libssl makes the certificate that a client gets the connection's.
BOOST_AUTO_TEST_CASE(of_several_certificates_the_default_one_counts) {
    const LibSsl& libssl = *LibSsl::load();
    const Identity ec("a.example"), rsa("a.example", KeyKind::rsa);
    const Ctx ctx = server_ctx(ec);
    use(ctx.get(), rsa);
    FactsOfContext facts;
    const std::unique_ptr<SSL, SslFree> ssl(SSL_new(ctx.get()));
    const ContextFacts* before = facts.of(libssl, ctx.get(), ssl.get());
    BOOST_REQUIRE(SSL_set_current_cert(ssl.get(), SSL_CERT_SET_FIRST) == 1);
    const X509* one = SSL_get_certificate(ssl.get());
    BOOST_REQUIRE(SSL_set_current_cert(ssl.get(), SSL_CERT_SET_NEXT) == 1);
    BOOST_REQUIRE(SSL_get_certificate(ssl.get()) != one);
    BOOST_TEST((facts.of(libssl, ctx.get(), ssl.get()) == before));
    BOOST_REQUIRE(SSL_set_current_cert(ssl.get(), SSL_CERT_SET_FIRST) == 1);
    BOOST_TEST((facts.of(libssl, ctx.get(), ssl.get()) == before));
}

// As lighttpd does it.
BOOST_AUTO_TEST_CASE(where_the_context_has_none_the_connection_s_counts) {
    const LibSsl& libssl = *LibSsl::load();
    const Identity one("a.example");
    const Ctx ctx(SSL_CTX_new(TLS_server_method())), with = server_ctx(one);
    FactsOfContext facts, facts_with;
    const std::unique_ptr<SSL, SslFree> ssl(SSL_new(ctx.get()));
    BOOST_TEST(facts.of(libssl, ctx.get(), ssl.get())->spki.empty());
    BOOST_REQUIRE(SSL_use_certificate(ssl.get(), one.certificate.get()) == 1);
    BOOST_TEST((facts.of(libssl, ctx.get(), ssl.get()) == facts_with.of(libssl, with.get())));
}
