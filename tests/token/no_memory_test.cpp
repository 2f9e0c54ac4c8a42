// Where libcrypto has no memory for the provider, a server notices nothing of it but missing tickets. Each
// case is run in a process of its own.
#define BOOST_TEST_MODULE no_memory
#include "tests/fixtures/known_ring.hpp"
#include "tests/fixtures/memory_tls.hpp"

#include <cstdlib>
#include <memory>

#include <boost/test/unit_test.hpp>
#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

using namespace stek::tests;

namespace {

unsigned left = 0;  // until an allocation of libcrypto's fails; 0: none does

bool fails_now() {
    return left != 0 && --left == 0;
}

// Before libcrypto has allocated anything, else it refuses.
const int in_place = CRYPTO_set_mem_functions(
    [](std::size_t size, const char*, int) { return fails_now() ? nullptr : std::malloc(size); },
    [](void* old, std::size_t size, const char*, int) {
        return fails_now() ? nullptr : std::realloc(old, size);
    },
    [](void* memory, const char*, int) { std::free(memory); });

/// Fails each allocation of make() by turns. Returns how many times it made something all the same.
template <class Make>
int made_all_the_same(const Make& make) {
    int made = 0;
    for (unsigned nth = 1;; ++nth) {
        ERR_clear_error();
        left = nth;
        const auto object = make();
        const bool all_were_had = left != 0;
        left = 0;
        if (all_were_had) {
            return made;
        }
        if (object) {
            ++made;
            char error[256] = "";
            ERR_error_string_n(ERR_peek_error(), error, sizeof error);
            BOOST_TEST(ERR_peek_error() == 0U, "allocation " << nth << " left " << error);
        }
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_the_provider_lacks_is_no_error_of_the_servers) {
    BOOST_REQUIRE(in_place == 1);
    KnownRing ring;
    ring.add_current();
    auto section = ring.section({});
    section["attach"] = "yes";
    BOOST_REQUIRE(CONF_modules_load_file(ring.write_conf(section).c_str(), nullptr, 0) == 1);
    const Identity identity("a.example");
    const Ctx server = server_ctx(identity);
    const auto make_ssl = [&] {
        return std::unique_ptr<SSL, decltype(&SSL_free)>(SSL_new(server.get()), SSL_free);
    };
    BOOST_REQUIRE(make_ssl());
    BOOST_TEST(made_all_the_same(make_ssl) > 0);
    const auto make_ctx = [&] { return Ctx(SSL_CTX_new(TLS_server_method())); };
    BOOST_TEST(made_all_the_same(make_ctx) > 0);
}
