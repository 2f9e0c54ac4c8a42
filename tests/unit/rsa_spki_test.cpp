// An RSA key's SubjectPublicKeyInfo, as its parser and as OpenSSL's own read it.
#define BOOST_TEST_MODULE rsa_spki
#include "provider/rsa_spki.hpp"

#include <functional>
#include <memory>
#include <stdexcept>

#include <boost/test/unit_test.hpp>
#include <openssl/rsa.h>
#include <openssl/x509.h>

using namespace stek;

namespace {

using Octets = std::vector<std::uint8_t>;

EvpPkey generated(const char* type, unsigned bits) {
    const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
        EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr), EVP_PKEY_CTX_free);
    EVP_PKEY* key = nullptr;
    BOOST_REQUIRE(EVP_PKEY_keygen_init(context.get()) == 1);
    BOOST_REQUIRE(EVP_PKEY_CTX_set_rsa_keygen_bits(context.get(), static_cast<int>(bits)) == 1);
    BOOST_REQUIRE(EVP_PKEY_generate(context.get(), &key) == 1);
    return {key, EVP_PKEY_free};
}

Octets spki_of(const EVP_PKEY* key) {
    unsigned char* der = nullptr;
    const int size = i2d_PUBKEY(key, &der);
    BOOST_REQUIRE(size > 0);
    Octets out(der, der + size);
    OPENSSL_free(der);
    return out;
}

const Octets& good() {
    static const Octets spki = spki_of(generated("RSA", 2048).get());
    return spki;
}

/// Null if it takes less or more than that.
EvpPkey as_openssl_reads(const Octets& spki) {
    const unsigned char* at = spki.data();
    EvpPkey key(d2i_PUBKEY(nullptr, &at, static_cast<long>(spki.size())), EVP_PKEY_free);
    if (at != spki.data() + spki.size())
        key.reset();
    return key;
}

bool is_taken(const Octets& spki) {
    try {
        const auto key = parse_rsa_spki(spki);
        const auto theirs = as_openssl_reads(spki);
        BOOST_REQUIRE(theirs != nullptr);
        BOOST_TEST(EVP_PKEY_eq(key.get(), theirs.get()) == 1);
        return true;
    } catch (const std::invalid_argument&) {
        return false;
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(keys_of_all_sizes_are_read_as_openssl_reads_them) {
    BOOST_TEST(is_taken(good()));
    for (const unsigned bits : {3072U, 4096U})
        BOOST_TEST(is_taken(spki_of(generated("RSA", bits).get())), bits << " bits");
    BOOST_TEST(!is_taken(spki_of(generated("RSA", 1024).get())));
}

BOOST_AUTO_TEST_CASE(other_keys_are_refused) {
    BOOST_TEST(!is_taken(spki_of(generated("RSA-PSS", 2048).get())));
    const EvpPkey curve(EVP_EC_gen("P-256"), EVP_PKEY_free);
    BOOST_TEST(!is_taken(spki_of(curve.get())));
}

BOOST_AUTO_TEST_CASE(cut_at_each_byte_it_is_none) {
    for (std::size_t size = 0; size < good().size(); ++size)
        BOOST_TEST(!is_taken({good().begin(), good().begin() + static_cast<std::ptrdiff_t>(size)}),
                   size << " bytes");
    auto longer = good();
    longer.push_back(0);
    BOOST_TEST(!is_taken(longer));
}

// In the numbers themselves a flipped bit makes another key.
BOOST_AUTO_TEST_CASE(with_each_bit_flipped_it_is_what_openssl_reads_or_none) {
    constexpr std::size_t before_the_modulus = 32;
    std::size_t taken_of_headers = 0;
    for (std::size_t bit = 0; bit < good().size() * 8; ++bit) {
        auto flipped = good();
        flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
        if (is_taken(flipped) && bit / 8 < before_the_modulus)
            ++taken_of_headers;
    }
    BOOST_TEST(taken_of_headers == 0U);
}

BOOST_AUTO_TEST_CASE(each_element_has_to_be_what_it_is) {
    // Where they begin in a key of 2048 bits with the exponent 65537.
    constexpr std::size_t of_algorithm = 4, of_null = 17, of_bits = 19, unused = 23, of_modulus = 28;
    const auto refused = [](std::size_t at, std::uint8_t byte, std::uint8_t instead) {
        auto spki = good();
        BOOST_REQUIRE(spki.at(at) == byte);
        spki[at] = instead;
        BOOST_TEST(!is_taken(spki), "byte " << at);
    };
    refused(0, 0x30, 0x31);
    refused(of_algorithm, 0x30, 0x31);
    refused(of_null, 0x05, 0x04);
    refused(of_bits, 0x03, 0x04);
    refused(unused, 0x00, 0x01);
    refused(of_modulus, 0x02, 0x04);
    // A modulus below zero.
    refused(of_modulus + 4, 0x00, 0x80);
}

BOOST_AUTO_TEST_CASE(an_exponent_that_hides_nothing_is_refused) {
    for (const std::uint8_t exponent : {0, 1, 2, 3, 4, 5}) {
        // The last five bytes are the exponent, 02 03 01 00 01, and three sizes count them.
        auto spki = good();
        BOOST_REQUIRE(spki.size() == 294U);
        spki.resize(spki.size() - 5);
        spki.insert(spki.end(), {0x02, 0x01, exponent});
        for (const std::size_t size_at : {3U, 22U, 27U})
            spki[size_at] = static_cast<std::uint8_t>(spki[size_at] - 2);
        BOOST_REQUIRE(as_openssl_reads(spki) != nullptr);
        BOOST_TEST(is_taken(spki) == (exponent == 3 || exponent == 5));
    }
}
