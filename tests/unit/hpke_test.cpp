// HPKE: the RFC's numbers and another program's; and nothing opens but what was sealed, for whom it was.
#define BOOST_TEST_MODULE hpke
#include "daemon/hpke.hpp"

#include "daemon/hpke_hkdf.hpp"
#include "key_in_token.hpp"
#include "p256_key.hpp"
#include "tests/fixtures/hex.hpp"

#include <algorithm>
#include <fstream>
#include <functional>
#include <string>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <openssl/ec.h>
#include <openssl/err.h>

namespace stek::hpke {
namespace {

using internal::Aead;
using test::private_key;
using tests::from_hex;
using Octets = std::vector<std::uint8_t>;

template <class Range>
Octets octets(const Range& bytes) {
    return {bytes.begin(), bytes.end()};
}

const nlohmann::json& vectors() {
    static const auto parsed = nlohmann::json::parse(std::ifstream(STEK_VECTORS "/hpke.json")).at("vectors");
    return parsed;
}

/// Everything that opening takes, to be spoilt.
struct Message {
    KeyPtr recipient;
    Octets recipient_public, info, aad, enc, ciphertext, plaintext;

    Message() = default;
    explicit Message(const nlohmann::json& vector)
        : recipient_public(from_hex(vector.at("recipient_public"))),
          info(from_hex(vector.at("info"))),
          aad(from_hex(vector.at("aad"))),
          enc(from_hex(vector.at("enc"))),
          ciphertext(from_hex(vector.at("ciphertext"))),
          plaintext(from_hex(vector.at("plaintext"))) {
        recipient = private_key(from_hex(vector.at("recipient")), recipient_public);
    }
    [[nodiscard]] Octets opened() const {
        return octets(open(recipient.get(), recipient_public, enc, info, aad, ciphertext).bytes());
    }
    void check_refused(const std::string& reason) const {
        BOOST_CHECK_EXCEPTION((void)opened(), Error, [&](const Error& error) {
            BOOST_TEST_INFO(error.what());
            return std::string(error.what()).find(reason) != std::string::npos;
        });
        BOOST_TEST(ERR_peek_error() == 0U);
    }
};

Message sample() {
    return Message(vectors().at(0));
}

const std::string does_not_open = "HPKE: the ciphertext does not open";
const std::string no_point = " is not a point of P-256";
const std::string not_uncompressed = " is not an uncompressed point";

/// What is no uncompressed point of P-256, and what is said of it.
std::vector<std::pair<Octets, std::string>> bad_points(const Octets& good) {
    std::vector<std::pair<Octets, std::string>> bad;
    for (std::size_t size = 0; size < good.size(); ++size)
        bad.emplace_back(Octets(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)),
                         ": " + std::to_string(size) + " bytes, 65 are needed");
    Octets longer = good;
    longer.push_back(0);
    bad.emplace_back(longer, ": 66 bytes, 65 are needed");
    Octets compressed(good.begin(), good.begin() + 33);
    compressed[0] = static_cast<std::uint8_t>(2 + good.back() % 2);
    bad.emplace_back(compressed, ": 33 bytes, 65 are needed");
    for (unsigned form = 0; form < 256; ++form)
        if (form != 4) {
            Octets other = good;
            other[0] = static_cast<std::uint8_t>(form);  // 06 and 07: the hybrid form
            bad.emplace_back(other, not_uncompressed);
        }
    bad.emplace_back(Octets{0}, ": 1 bytes, 65 are needed");  // infinity as SEC 1 writes it
    bad.emplace_back(Octets(65, 0), not_uncompressed);
    Octets origin(65, 0);
    origin[0] = 4;
    bad.emplace_back(origin, no_point);
    Octets largest(65, 0xff);
    largest[0] = 4;
    bad.emplace_back(largest, no_point);
    // Sound, but for the field's size that is added to x = 5: without that, it is taken.
    const Octets y = from_hex("459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc");
    Octets sound(65, 0);
    sound[0] = 4;
    sound[32] = 5;
    std::ranges::copy(y, sound.begin() + 33);
    BOOST_CHECK_NO_THROW(parse_point(sound, "a point"));
    Octets unreduced = sound;
    std::ranges::copy(from_hex("ffffffff00000001000000000000000000000001000000000000000000000004"),
                      unreduced.begin() + 1);
    bad.emplace_back(unreduced, no_point);
    return bad;
}

BOOST_AUTO_TEST_CASE(rfc_9180_a_3_1) {
    const auto recipient_public = from_hex(
        "04fe8c19ce0905191ebc298a9245792531f26f0cece2460639e8bc39cb7f706a826a779b4cf969b8a0e539c7f62fb3d30a"
        "d6aa8f80e30f1d128aafd68a2ce72ea0");
    const auto enc = from_hex(
        "04a92719c6195d5085104f469a8b9814d5838ff72b60501e2c4466e5e67b325ac98536d7b61a1af4b78e5b7f951c0900be"
        "863c403ce65c9bfcb9382657222d18c4");
    const auto ephemeral =
        private_key(from_hex("4995788ef4b9d6132b249ce59a77281493eb39af373d236a1fe415cb0c2d7beb"), enc);
    const auto recipient = private_key(
        from_hex("f3ce7fdae57e1a310d87f1ebbde6f328be0a99cdbcadf4d6589cf29de4b8ffd2"), recipient_public);
    const auto info = from_hex("4f6465206f6e2061204772656369616e2055726e");
    const auto aad = from_hex("436f756e742d30");
    const auto plaintext = from_hex("4265617574792069732074727574682c20747275746820626561757479");
    const auto ciphertext = from_hex(
        "5ad590bb8baa577f8619db35a36311226a896e7342a6d836d8b7bcd2f20b6c7f9076ac232e3ab2523f39513434");

    const Sealed sealed =
        internal::seal(Aead::aes_128_gcm, ephemeral.get(), recipient_public, info, aad, plaintext);
    BOOST_TEST(octets(sealed.enc) == enc);
    BOOST_TEST(sealed.ciphertext == ciphertext);
    const Secret opened =
        internal::open(Aead::aes_128_gcm, recipient.get(), recipient_public, enc, info, aad, ciphertext);
    BOOST_TEST(octets(opened.bytes()) == plaintext);
    BOOST_CHECK_THROW(
        internal::open(Aead::aes_256_gcm, recipient.get(), recipient_public, enc, info, aad, ciphertext),
        Error);
}

BOOST_AUTO_TEST_CASE(rfc_9180_a_3_1_key_schedule) {
    const LabelledHkdf hkdf(
        from_hex("48504b45"
                 "0010"
                 "0001"
                 "0001"));
    const auto context = from_hex(
        "00b88d4e6d91759e65e87c470e8b9141113e9ad5f0c8ceefc1e088c82e6980500798e486f9c9c09c9b5c753ac72d6005de25"
        "4c607d"
        "1b534ed11d493ae1c1d9ac85");
    const auto shared_secret = from_hex("c0d26aeab536609a572b07695d933b589dcf363ff9d93c93adea537aeabb8cb8");
    Digest made;
    hkdf.extract({}, "psk_id_hash", {}, made);
    BOOST_TEST(octets(made.bytes()) == octets(Bytes(context).subspan(1, 32)));
    hkdf.extract({}, "info_hash", from_hex("4f6465206f6e2061204772656369616e2055726e"), made);
    BOOST_TEST(octets(made.bytes()) == octets(Bytes(context).subspan(33)));
    hkdf.extract(shared_secret, "secret", {}, made);
    BOOST_TEST(octets(made.bytes()) ==
               from_hex("2eb7b6bf138f6b5aff857414a058a3f1750054a9ba1f72c2cf0684a6f20b10e1"));
    Octets key(16), nonce(12), exporter(32);
    hkdf.expand(made, "key", context, key);
    hkdf.expand(made, "base_nonce", context, nonce);
    hkdf.expand(made, "exp", context, exporter);
    BOOST_TEST(key == from_hex("868c066ef58aae6dc589b6cfdd18f97e"));
    BOOST_TEST(nonce == from_hex("4e0bc5018beba4bf004cca59"));
    BOOST_TEST(exporter == from_hex("14ad94af484a7ad3ef40e9f3be99ecc6fa9036df9d4920548424df127ee0d99f"));
}

BOOST_AUTO_TEST_CASE(hkdf_has_limits) {
    BOOST_CHECK_THROW(LabelledHkdf(Octets(11)), Error);
    const LabelledHkdf hkdf(Octets(10));
    const Digest prk;
    Octets none, most(255 * 32), more(255 * 32 + 1), largest_info(512), larger_info(513);
    BOOST_CHECK_NO_THROW(hkdf.expand(prk, "label", largest_info, most));
    BOOST_CHECK_THROW(hkdf.expand(prk, "label", larger_info, most), Error);
    BOOST_CHECK_THROW(hkdf.expand(prk, "label", {}, more), Error);
    BOOST_CHECK_THROW(hkdf.expand(prk, "label", {}, none), Error);
}

BOOST_AUTO_TEST_CASE(vectors_seal_and_open) {
    BOOST_TEST(vectors().size() == 10U);
    for (const auto& vector : vectors()) {
        BOOST_TEST_CONTEXT(vector.at("what")) {
            const Message message(vector);
            BOOST_TEST(message.opened() == message.plaintext);
            const auto ephemeral = private_key(from_hex(vector.at("ephemeral")), message.enc);
            const Sealed sealed = internal::seal(Aead::aes_256_gcm, ephemeral.get(), message.recipient_public,
                                                 message.info, message.aad, message.plaintext);
            BOOST_TEST(octets(sealed.enc) == message.enc);
            BOOST_TEST(sealed.ciphertext == message.ciphertext);
        }
    }
}

BOOST_AUTO_TEST_CASE(each_sealing_has_a_key_of_its_own) {
    Message message = sample();
    const auto seal_again = [&] {
        return seal(message.recipient_public, message.info, message.aad, message.plaintext);
    };
    const Sealed first = seal_again(), second = seal_again();
    BOOST_TEST(octets(first.enc) != octets(second.enc));
    BOOST_TEST(first.ciphertext != second.ciphertext);
    for (const Sealed* sealed : {&first, &second}) {
        message.enc = octets(sealed->enc);
        message.ciphertext = sealed->ciphertext;
        BOOST_TEST(message.opened() == message.plaintext);
    }
    message.enc = octets(first.enc);
    message.check_refused(does_not_open);
}

BOOST_AUTO_TEST_CASE(each_bit_of_enc) {
    Message message = sample();
    const Octets good = message.enc;
    for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
        message.enc = good;
        message.enc[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
        message.check_refused(bit < 8 ? not_uncompressed : no_point);
    }
}

BOOST_AUTO_TEST_CASE(each_bit_of_what_is_authenticated) {
    Message message = sample();
    for (Octets* part : {&message.ciphertext, &message.info, &message.aad}) {
        for (std::size_t bit = 0; bit < 8 * part->size(); ++bit) {
            (*part)[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
            message.check_refused(does_not_open);
            (*part)[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
        }
    }
    BOOST_TEST(message.opened() == message.plaintext);
}

BOOST_AUTO_TEST_CASE(each_length_of_ciphertext) {
    Message message = sample();
    const Octets good = message.ciphertext;
    for (std::size_t size = 0; size < good.size(); ++size) {
        // A heap block of exactly that size: ASan sees one byte read beyond.
        message.ciphertext = Octets(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
        message.check_refused(size < tag_size ? "has " + std::to_string(size) + " bytes: less than its tag"
                                              : does_not_open);
    }
    message.ciphertext = good;
    message.ciphertext.push_back(0);
    message.check_refused(does_not_open);
}

BOOST_AUTO_TEST_CASE(info_and_aad_are_not_one_another) {
    Message message = sample();
    std::swap(message.info, message.aad);
    message.check_refused(does_not_open);
    for (const auto part : {&Message::info, &Message::aad}) {
        message = sample();
        (message.*part).clear();
        message.check_refused(does_not_open);
        message = sample();
        (message.*part).push_back(0);
        message.check_refused(does_not_open);
    }
}

BOOST_AUTO_TEST_CASE(points_that_are_none) {
    Message message = sample();
    const Octets enc = message.enc, recipient_public = message.recipient_public;
    for (const auto& [bad, reason] : bad_points(enc)) {
        message.enc = bad;
        message.check_refused("the encapsulated key" + reason);
    }
    message.enc = enc;
    for (const auto& [bad, reason] : bad_points(recipient_public)) {
        message.recipient_public = bad;
        message.check_refused("the recipient's public key" + reason);
        BOOST_CHECK_EXCEPTION(
            seal(message.recipient_public, message.info, message.aad, message.plaintext), Error,
            [&](const Error& error) { return error.what() == "HPKE: the recipient's public key" + reason; });
    }
}

BOOST_AUTO_TEST_CASE(keys_of_others) {
    Message message = sample();
    Message other(vectors().at(2));
    std::swap(message.recipient, other.recipient);
    message.check_refused(does_not_open);
    std::swap(message.recipient, other.recipient);
    std::swap(message.recipient_public, other.recipient_public);
    message.check_refused(does_not_open);
    std::swap(message.recipient, other.recipient);
    message.check_refused(does_not_open);
}

BOOST_AUTO_TEST_CASE(keys_of_another_kind) {
    Message message = sample();
    for (EVP_PKEY* key :
         {EVP_EC_gen("P-384"), EVP_EC_gen("secp256k1"), EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"),
          EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")}) {
        message.recipient.reset(key);
        BOOST_REQUIRE(key != nullptr);
        message.check_refused("the private key is not one of P-256");
    }
    message.recipient = parse_point(message.recipient_public, "a key without its private half");
    message.check_refused("the key agreement failed");
    message.recipient.reset();
    message.check_refused("the private key is not one of P-256");
}

// As libp11's: nothing of the key but its public half is in memory.
BOOST_AUTO_TEST_CASE(key_in_a_token) {
    for (const auto& vector : vectors()) {
        BOOST_TEST_CONTEXT(vector.at("what")) {
            Message message(vector);
            const KeyPtr real = std::move(message.recipient);
            const test::KeyInToken token(real.get(), message.recipient_public);
            message.recipient.reset(token.make_key());
            BOOST_TEST(message.opened() == message.plaintext);
        }
    }
}

BOOST_AUTO_TEST_CASE(answers_of_a_token) {
    const auto zero = std::ranges::find_if(
        vectors(), [](const auto& vector) { return vector.at("what") == "shared x begins with zero"; });
    Message message(*zero);
    const KeyPtr real = std::move(message.recipient);
    test::KeyInToken token(real.get(), message.recipient_public);
    message.recipient.reset(token.make_key());

    token.spoil = [](Octets& answer) { answer.erase(answer.begin()); };  // the zero: some tokens leave it out
    BOOST_TEST(message.opened() == message.plaintext);
    token.spoil = [](Octets& answer) { answer.pop_back(); };
    message.check_refused(does_not_open);
    token.spoil = [](Octets& answer) { answer.back() ^= 1; };
    message.check_refused(does_not_open);
    token.spoil = [](Octets& answer) { std::ranges::fill(answer, std::uint8_t{0}); };
    message.check_refused("the key agreement gave no point");
    token.spoil = [](Octets& answer) { answer.clear(); };
    message.check_refused("the key agreement failed");
    token.spoil = nullptr;
    token.fails = true;
    message.check_refused("the key agreement failed: the token is gone");
}

}  // namespace
}  // namespace stek::hpke
