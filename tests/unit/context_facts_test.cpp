// What is known of a context that lives for long and gets other certificates meanwhile.
#define BOOST_TEST_MODULE context_facts
#include "provider/context_facts.hpp"

#include "tests/fixtures/memory_tls.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <openssl/crypto.h>
#include <openssl/x509.h>

using namespace stek;
using namespace stek::tests;

namespace {

std::atomic<unsigned> certificates_freed{0};

void count_free(void*, void*, CRYPTO_EX_DATA*, int, long, void*) {
    ++certificates_freed;
}

void use(SSL_CTX* ctx, const Identity& identity) {
    BOOST_REQUIRE(SSL_CTX_use_certificate(ctx, identity.certificate.get()) == 1);
    BOOST_REQUIRE(SSL_CTX_use_PrivateKey(ctx, identity.key.get()) == 1);
}

using Ssl = std::unique_ptr<SSL, SslFree>;

const ContextFacts* facts_in(const Ctx& ctx) {
    const Ssl ssl(SSL_new(ctx.get()));
    return facts_of(*LibSsl::load(), ssl.get());
}

void name_authority(const Ctx& ctx, const Identity& identity) {
    auto* names = sk_X509_NAME_new_null();
    sk_X509_NAME_push(names, X509_NAME_dup(X509_get_subject_name(identity.certificate.get())));
    SSL_CTX_set_client_CA_list(ctx.get(), names);
}

}  // namespace

// A thread keeps some certificates that it has met, not all.
BOOST_AUTO_TEST_CASE(facts_follow_the_certificate_and_let_go_of_those_before) {
    BOOST_REQUIRE(CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_X509, 0, nullptr, nullptr, nullptr, count_free) >=
                  0);
    const Identity one("a.example");
    const Ctx ctx = server_ctx(one);
    const ContextFacts* first = facts_in(ctx);
    BOOST_REQUIRE(first != nullptr);
    {
        const Identity two("a.example");
        use(ctx.get(), two);
        BOOST_TEST((facts_in(ctx) != first));
        BOOST_TEST((facts_in(ctx) == facts_in(ctx)));
        use(ctx.get(), one);
        BOOST_TEST((facts_in(ctx) == first));
    }
    constexpr unsigned many = 300, most_kept = 64;
    for (unsigned i = 0; i < many; ++i) {
        const Identity more("a.example");
        use(ctx.get(), more);
        BOOST_REQUIRE(facts_in(ctx) != nullptr);
    }
    BOOST_TEST(certificates_freed >= many - most_kept - 1);
}

// libssl makes the certificate that a client gets the connection's.
BOOST_AUTO_TEST_CASE(of_several_certificates_all_count_whichever_is_chosen) {
    const LibSsl& libssl = *LibSsl::load();
    const Identity ec("a.example"), rsa("a.example", KeyKind::rsa);
    const Ctx ctx = server_ctx(ec), other_order = server_ctx(rsa), one = server_ctx(ec);
    use(ctx.get(), rsa);
    use(other_order.get(), ec);
    const Ssl ssl(SSL_new(ctx.get()));
    const ContextFacts* before = facts_of(libssl, ssl.get());
    for (const long which : {SSL_CERT_SET_FIRST, SSL_CERT_SET_NEXT}) {
        BOOST_REQUIRE(SSL_set_current_cert(ssl.get(), which) == 1);
        const X509* chosen = SSL_get_certificate(ssl.get());
        BOOST_TEST((facts_of(libssl, ssl.get()) == before));
        BOOST_TEST((SSL_get_certificate(ssl.get()) == chosen));  // left as it was
    }
    BOOST_TEST((facts_in(other_order) == before));
    BOOST_TEST((facts_in(one) != before));
}

// As Node and lighttpd do it.
BOOST_AUTO_TEST_CASE(a_certificate_of_the_connection_s_own_counts) {
    const LibSsl& libssl = *LibSsl::load();
    const Identity one("a.example"), two("a.example");
    const Ctx empty(SSL_CTX_new(TLS_server_method())), with_one = server_ctx(one), with_two = server_ctx(two);
    for (SSL_CTX* ctx : {empty.get(), with_one.get()}) {
        const Ssl ssl(SSL_new(ctx));
        BOOST_TEST(facts_of(libssl, ssl.get())->spki.empty() == (ctx == empty.get()));
        BOOST_REQUIRE(SSL_use_certificate(ssl.get(), two.certificate.get()) == 1 &&
                      SSL_use_PrivateKey(ssl.get(), two.key.get()) == 1);
        BOOST_TEST((facts_of(libssl, ssl.get()) == facts_in(with_two)));
    }
}

BOOST_AUTO_TEST_CASE(a_list_of_authorities_is_known_by_its_names) {
    const Identity one("a.example"), ca_one("CA 1"), ca_two("CA 2");
    const Ctx ctx = server_ctx(one);
    const ContextFacts* without = facts_in(ctx);
    name_authority(ctx, ca_one);
    const ContextFacts* with_one = facts_in(ctx);
    BOOST_TEST((with_one != without));
    // Until the allocator gives an address that a list has had before.
    for (int i = 0; i < 100; ++i) {
        name_authority(ctx, ca_two);
        const ContextFacts* with_two = facts_in(ctx);
        BOOST_TEST((with_two != with_one));
        BOOST_TEST((with_two != without));
        name_authority(ctx, ca_one);
        BOOST_TEST((facts_in(ctx) == with_one));
    }
}

BOOST_AUTO_TEST_CASE(many_facts_are_told_apart_and_found_again) {
    const Identity one("a.example");
    const Ctx ctx = server_ctx(one);
    std::vector<const ContextFacts*> all;
    for (int round = 0; round < 2; ++round) {
        for (int i = 0; i < 500; ++i) {
            auto* names = sk_X509_NAME_new_null();
            auto* name = X509_NAME_new();
            const std::string text = "CA " + std::to_string(i);
            X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                       reinterpret_cast<const unsigned char*>(text.c_str()), -1, -1, 0);
            sk_X509_NAME_push(names, name);
            SSL_CTX_set_client_CA_list(ctx.get(), names);
            const ContextFacts* facts = facts_in(ctx);
            BOOST_REQUIRE(facts != nullptr);
            BOOST_TEST((context_facts(facts->number) == facts));
            if (round == 0) {
                BOOST_TEST((std::find(all.begin(), all.end(), facts) == all.end()));
                all.push_back(facts);
            } else {
                BOOST_TEST((all[static_cast<std::size_t>(i)] == facts));
            }
        }
    }
}

// A program that changes its certificates under a lock around SSL_new() does all that OpenSSL asks for.
BOOST_AUTO_TEST_CASE(a_certificate_that_changes_meanwhile_is_not_touched) {
    const std::vector<Identity> identities = [] {
        std::vector<Identity> made;
        for (int i = 0; i < 8; ++i) {
            made.emplace_back("a.example");
        }
        return made;
    }();
    const Ctx ctx = server_ctx(identities.front());
    std::mutex lock;
    std::atomic<bool> done{false};
    std::atomic<unsigned> unknown{0};
    std::vector<std::jthread> threads;
    for (int i = 0; i < 2; ++i) {
        threads.emplace_back([&] {
            while (!done) {
                Ssl ssl;
                {
                    const std::lock_guard held(lock);
                    ssl.reset(SSL_new(ctx.get()));
                }
                unknown += facts_of(*LibSsl::load(), ssl.get()) == nullptr ? 1 : 0;
            }
        });
    }
    for (int i = 0; i < 5000; ++i) {
        // A copy: with its last reference it is freed.
        const auto& next = identities[static_cast<std::size_t>(i) % identities.size()];
        const std::unique_ptr<X509, SslFree> certificate(X509_dup(next.certificate.get()));
        const std::lock_guard held(lock);
        SSL_CTX_use_certificate(ctx.get(), certificate.get());
        SSL_CTX_use_PrivateKey(ctx.get(), next.key.get());
    }
    done = true;
    threads.clear();
    BOOST_TEST(unknown == 0U);
}

// Who makes contexts without end gets no tickets in the last of them; it costs nothing.
BOOST_AUTO_TEST_CASE(there_is_room_for_so_many_and_no_more) {
    const Identity identity("a.example");
    const Ctx ctx = server_ctx(identity);
    const ContextFacts* const known = facts_in(ctx);
    const auto facts_with_authority = [&](std::size_t number) {
        const Ssl ssl(SSL_new(ctx.get()));
        std::unique_ptr<X509_NAME, decltype(&X509_NAME_free)> name(X509_NAME_new(), X509_NAME_free);
        const auto text = std::to_string(number);
        X509_NAME_add_entry_by_txt(name.get(), "CN", MBSTRING_ASC,
                                   reinterpret_cast<const unsigned char*>(text.c_str()), -1, -1, 0);
        auto* names = sk_X509_NAME_new_null();
        sk_X509_NAME_push(names, name.release());
        SSL_set_client_CA_list(ssl.get(), names);
        return facts_of(*LibSsl::load(), ssl.get());
    };
    std::size_t count = 0;
    while (count <= max_context_facts && facts_with_authority(count) != nullptr) {
        ++count;
    }
    BOOST_TEST(count > max_context_facts * 9 / 10);  // the cases before have made some
    BOOST_TEST(count < max_context_facts);
    BOOST_TEST((facts_with_authority(count + 1) == nullptr));
    BOOST_TEST((facts_with_authority(7) != nullptr));
    BOOST_TEST((facts_in(ctx) == known));
}
