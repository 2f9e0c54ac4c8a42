// STEK-AES-256-GCM through plain EVP, with keys whose bytes are known.
#define BOOST_TEST_MODULE cipher
#include "provider/cipher.hpp"

#include "provider/ticket.hpp"
#include "tests/fixtures/child.hpp"
#include "tests/fixtures/known_ring.hpp"
#include "tests/token/open_token.hpp"

#include <atomic>
#include <ctime>
#include <fstream>
#include <thread>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

using namespace stek;
using namespace stek::tests;

namespace {

using Buffer = std::vector<std::uint8_t>;

struct Fetched {
    explicit Fetched(const LoadedProvider& provider)
        : cipher(EVP_CIPHER_fetch(provider.libctx(), "STEK-AES-256-GCM", nullptr)),
          context(EVP_CIPHER_CTX_new()) {
        BOOST_REQUIRE(cipher != nullptr);
    }
    Fetched(const Fetched&) = delete;
    Fetched& operator=(const Fetched&) = delete;
    ~Fetched() {
        EVP_CIPHER_CTX_free(context);
        EVP_CIPHER_free(cipher);
    }
    bool init(bool sealing, Bytes iv, const KeyName* name) const {
        const OSSL_PARAM with_name[] = {
            OSSL_PARAM_construct_octet_string(key_name_param,
                                              const_cast<std::uint8_t*>(name ? name->data() : nullptr),
                                              name ? name->size() : 0),
            OSSL_PARAM_construct_end()};
        const OSSL_PARAM* params = name ? with_name : nullptr;
        return (sealing ? EVP_EncryptInit_ex2(context, cipher, nullptr, iv.data(), params)
                        : EVP_DecryptInit_ex2(context, cipher, nullptr, iv.data(), params)) == 1;
    }
    EVP_CIPHER* cipher;
    EVP_CIPHER_CTX* context;
};

/// Ciphertext and tag; empty if it did not seal.
Buffer seal(const Fetched& with, const KeyName& name, Bytes iv, Bytes aad, Bytes plain) {
    int size = 0;
    int last = 0;
    Buffer out(plain.size() + 32);
    if (!with.init(true, iv, &name) ||
        (!aad.empty() &&
         EVP_EncryptUpdate(with.context, nullptr, &size, aad.data(), static_cast<int>(aad.size())) != 1)) {
        return {};
    }
    size = 0;
    if (!plain.empty() && EVP_EncryptUpdate(with.context, out.data(), &size, plain.data(),
                                            static_cast<int>(plain.size())) != 1) {
        return {};
    }
    if (EVP_EncryptFinal_ex(with.context, out.data() + size, &last) != 1) {
        return {};
    }
    out.resize(static_cast<std::size_t>(size + last));
    return out;
}

struct Opened {
    bool good = false;
    Buffer plain;       ///< what update let out
    bool clean = true;  ///< a failure left nothing but what was there before
};

Opened open(const Fetched& with, const KeyName& name, Bytes iv, Bytes aad, Bytes sealed) {
    constexpr std::uint8_t untouched = 0xa5;
    Opened result;
    int size = 0;
    int last = 0;
    Buffer out(sealed.size() + 32, untouched);
    if (!with.init(false, iv, &name) ||
        (!aad.empty() &&
         EVP_DecryptUpdate(with.context, nullptr, &size, aad.data(), static_cast<int>(aad.size())) != 1)) {
        return result;
    }
    BOOST_TEST(EVP_DecryptUpdate(with.context, out.data(), &size, sealed.data(),
                                 static_cast<int>(sealed.size())) == 1);
    result.good = EVP_DecryptFinal_ex(with.context, out.data() + size, &last) == 1;
    if (result.good) {
        result.plain.assign(out.begin(), out.begin() + size + last);
    } else {
        result.clean = size == 0 && std::ranges::all_of(out, [](auto byte) { return byte == untouched; });
    }
    ERR_clear_error();
    return result;
}

}  // namespace

BOOST_AUTO_TEST_CASE(wycheproof_aes_256_gcm) {
    std::ifstream file(STEK_VECTORS "/wycheproof/aes_gcm_test.json");
    BOOST_REQUIRE(file);
    const auto all = nlohmann::json::parse(file);
    unsigned seen = 0;
    unsigned valid = 0;
    for (const auto& group : all.at("testGroups")) {
        if (group.at("keySize") != 256 || group.at("ivSize") != 96 || group.at("tagSize") != 128) {
            continue;
        }
        KnownRing ring;
        std::vector<KeyName> names;
        for (const auto& test : group.at("tests")) {
            names.push_back(ring.add(from_hex(test.at("key")), names.size() + 1, std::time(nullptr) - 1));
        }
        const LoadedProvider provider(ring.section());
        const Fetched with(provider);
        for (const auto& test : group.at("tests")) {
            BOOST_TEST_CONTEXT("tcId " << test.at("tcId")) {
                const KeyName& name = names.at(seen);
                const auto iv = from_hex(test.at("iv"));
                const auto aad = from_hex(test.at("aad"));
                const auto message = from_hex(test.at("msg"));
                auto sealed = from_hex(test.at("ct"));
                const auto tag = from_hex(test.at("tag"));
                sealed.insert(sealed.end(), tag.begin(), tag.end());
                const bool good = test.at("result") == "valid";
                const Opened opened = open(with, name, iv, aad, sealed);
                BOOST_TEST(opened.good == good);
                if (good) {
                    BOOST_TEST((opened.plain == message));
                    BOOST_TEST(to_hex(seal(with, name, iv, aad, message)) == to_hex(sealed));
                    ++valid;
                } else {
                    BOOST_TEST(opened.clean);
                    BOOST_TEST((seal(with, name, iv, aad, message) != sealed));
                }
                ++seen;
            }
        }
    }
    BOOST_TEST(seen == 66U);
    BOOST_TEST(valid == 39U);
}

BOOST_AUTO_TEST_CASE(each_flipped_bit_and_each_cut_is_refused_with_nothing_let_out) {
    KnownRing ring;
    const KeyName name = ring.add_current();
    const LoadedProvider provider(ring.section());
    const Fetched with(provider);
    const Buffer iv(12, 7);
    const Buffer aad(20, 9);
    const Buffer message(40, 0x42);
    const Buffer sealed = seal(with, name, iv, aad, message);
    BOOST_REQUIRE(sealed.size() == message.size() + 16);
    for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
        Buffer changed = sealed;
        changed[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
        const Opened opened = open(with, name, iv, aad, changed);
        BOOST_TEST(!opened.good);
        BOOST_TEST(opened.clean);
    }
    for (std::size_t size = 0; size < sealed.size(); ++size) {
        const Opened opened = open(with, name, iv, aad, Bytes(sealed).first(size));
        BOOST_TEST(!opened.good);
        BOOST_TEST(opened.clean);
    }
    BOOST_TEST(open(with, name, iv, aad, sealed).good);
    BOOST_TEST(!open(with, name, iv, Buffer(20, 8), sealed).good);
}

BOOST_AUTO_TEST_CASE(keys_are_named_and_windows_hold) {
    KnownRing ring;
    const auto now = std::time(nullptr);
    const Buffer key(32, 1);
    const KeyName old = ring.add(key, 1, now - 4000, 3600, 7200);
    const KeyName gone = ring.add(key, 2, now - 20000, 3600, 7200);
    const KeyName current = ring.add_current();
    const LoadedProvider provider(ring.section());
    const Fetched with(provider);
    const Buffer iv(12, 3);
    const Buffer message(10, 4);
    BOOST_TEST(!seal(with, current, iv, {}, message).empty());
    BOOST_TEST(seal(with, old, iv, {}, message).empty());        // opens only
    BOOST_TEST(seal(with, gone, iv, {}, message).empty());       // neither
    BOOST_TEST(seal(with, KeyName{}, iv, {}, message).empty());  // no such name
    BOOST_TEST(!with.init(true, Buffer(12, 0), &old));
    // No name: the key of the hour, which the context then tells.
    BOOST_REQUIRE(with.init(true, iv, nullptr) || true);
    const Fetched unnamed(provider);
    BOOST_REQUIRE(unnamed.init(true, iv, nullptr));
    KeyName told{};
    OSSL_PARAM ask[] = {OSSL_PARAM_construct_octet_string(key_name_param, told.data(), told.size()),
                        OSSL_PARAM_construct_end()};
    BOOST_REQUIRE(EVP_CIPHER_CTX_get_params(unnamed.context, ask) == 1);
    BOOST_TEST((told == current));
    // A key is never given.
    BOOST_TEST(EVP_EncryptInit_ex2(unnamed.context, unnamed.cipher, key.data(), iv.data(), nullptr) != 1);
}

BOOST_AUTO_TEST_CASE(one_message_per_iv) {
    KnownRing ring;
    const KeyName name = ring.add_current();
    const LoadedProvider provider(ring.section());
    const Fetched with(provider);
    const Buffer iv(12, 3);
    const Buffer message(10, 4);
    Buffer out(64);
    int size = 0;
    BOOST_REQUIRE(with.init(true, iv, &name));
    BOOST_TEST(EVP_EncryptUpdate(with.context, out.data(), &size, message.data(), 10) == 1);
    BOOST_TEST(EVP_EncryptUpdate(with.context, out.data(), &size, message.data(), 10) != 1);
    BOOST_TEST(EVP_CIPHER_get_iv_length(with.cipher) == 12);
    BOOST_TEST(EVP_CIPHER_get_block_size(with.cipher) == 16);
    BOOST_TEST(EVP_CIPHER_get_key_length(with.cipher) == 32);
}

// Through plain EVP with all fetched before, for libcrypto's own locks do not survive such forks either.
#ifndef __SANITIZE_ADDRESS__  // at a fork, g++ 12's ASan leaves its allocator's locks as they are
BOOST_AUTO_TEST_CASE(forks_of_a_process_with_sealing_threads_seal) {
    KnownRing ring;
    const KeyName name = ring.add_current();
    const LoadedProvider provider(ring.section());
    const Buffer iv(12, 3);
    const Buffer message(200, 4);
    const Fetched for_children(provider);
    BOOST_REQUIRE(!seal(for_children, name, iv, {}, message).empty());
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, with = std::make_shared<Fetched>(provider)] {
            while (!stop) {
                // Not all succeed: while a fork waits for the module to be empty, others are turned away.
                static_cast<void>(seal(*with, name, iv, {}, message));
            }
        });
    }
    for (int i = 0; i < 100; ++i) {
        const int status = in_child([&] {
            alarm(60);  // a child that hangs in the module's locks ends by a signal
            return seal(for_children, name, iv, {}, message).empty() ? 1 : 0;
        });
        BOOST_TEST(status == 0);
    }
    stop = true;
    for (auto& thread : threads) {
        thread.join();
    }
    BOOST_TEST(!seal(for_children, name, iv, {}, message).empty());
}
#endif
