// P-256 keys in a real token, used by OpenSSL through libp11 beside our own sessions.
#define BOOST_TEST_MODULE token_keys
#include "daemon/fleet/token_keys.hpp"

#include "daemon/hpke.hpp"
#include "tests/fixtures/softhsm.hpp"

#include <array>
#include <string_view>

#include <boost/test/unit_test.hpp>
#include <openssl/evp.h>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;

namespace {

struct Scene {
    explicit Scene(bool logged_in = true) {
        token = pkcs11::Token::find(module, uri);
        session.emplace(token, pkcs11::Access::read_write);
        if (logged_in)
            token->login(*session, pkcs11::read_pin(*uri.pin_source()));
    }
    SoftHsm softhsm;
    TestToken made = softhsm.make_token("vault");
    pkcs11::TokenUri uri = pkcs11::TokenUri::parse(SoftHsm::uri_with_pin(made));
    std::shared_ptr<pkcs11::Module> module = pkcs11::Module::initialize(pkcs11::Library::map(softhsm_module));
    std::shared_ptr<pkcs11::Token> token;
    std::optional<pkcs11::Session> session;
};

struct FreeDigest {
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};
using Digest = std::unique_ptr<EVP_MD_CTX, FreeDigest>;

Bytes bytes_of(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::vector<std::uint8_t> sign(EVP_PKEY* key, Bytes message) {
    const Digest context(EVP_MD_CTX_new());
    std::vector<std::uint8_t> signature(128);
    std::size_t size = signature.size();
    if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key) != 1 ||
        EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) != 1)
        return {};
    signature.resize(size);
    return signature;
}

bool verify(const hpke::Point& point, Bytes message, Bytes signature) {
    const auto key = hpke::parse_point(point, "the signer");
    const Digest context(EVP_MD_CTX_new());
    return EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
           EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(),
                            message.size()) == 1;
}

CK_OBJECT_HANDLE private_half(pkcs11::Session& session, std::string_view label) {
    pkcs11::Attributes pattern;
    pattern.number(CKA_CLASS, CKO_PRIVATE_KEY).text(CKA_LABEL, label);
    const auto found = session.find(pattern);
    BOOST_REQUIRE(found.size() == 1U);
    return found.front();
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_key_signs_and_others_verify) {
    Scene scene;
    TokenKeys keys(*scene.session);
    BOOST_TEST(!keys.find(Use::signing));
    const auto made = keys.make(Use::signing);
    const auto signature = sign(made.key.get(), bytes_of("a list"));
    BOOST_REQUIRE(!signature.empty());
    BOOST_TEST(verify(made.point, bytes_of("a list"), signature));
    BOOST_TEST(!verify(made.point, bytes_of("another"), signature));

    const auto found = keys.find(Use::signing);
    BOOST_REQUIRE(found);
    BOOST_TEST((found->point == made.point));
    BOOST_TEST(verify(made.point, bytes_of("again"), sign(found->key.get(), bytes_of("again"))));
    BOOST_CHECK_THROW(keys.make(Use::signing), std::logic_error);
}

BOOST_AUTO_TEST_CASE(what_is_sealed_to_a_key_opens_in_the_token) {
    Scene scene;
    TokenKeys keys(*scene.session);
    const auto pre_key = keys.make(Use::pre_key, 0x0102030405060708);
    const auto other = keys.make(Use::sealing);
    const auto sealed =
        hpke::seal(pre_key.point, bytes_of("info"), bytes_of("aad"), bytes_of("an hourly key"));
    const auto opened = hpke::open(pre_key.key.get(), pre_key.point, sealed.enc, bytes_of("info"),
                                   bytes_of("aad"), sealed.ciphertext);
    BOOST_TEST(std::string_view(reinterpret_cast<const char*>(opened.data()), opened.size()) ==
               "an hourly key");
    BOOST_CHECK_THROW(hpke::open(other.key.get(), other.point, sealed.enc, bytes_of("info"), bytes_of("aad"),
                                 sealed.ciphertext),
                      hpke::Error);
}

BOOST_AUTO_TEST_CASE(our_own_sessions_go_on) {
    Scene scene;
    std::array<std::uint8_t, 16> random{};
    {
        TokenKeys keys(*scene.session);
        const auto made = keys.make(Use::signing);
        scene.session->random(random);
        BOOST_TEST(!sign(made.key.get(), bytes_of("x")).empty());
    }
    scene.session->random(random);
    // Still logged in: private objects are seen.
    BOOST_CHECK_NO_THROW(private_half(*scene.session, "stekd signing"));
    TokenKeys again(*scene.session);
    BOOST_TEST(again.find(Use::signing).has_value());
    scene.session->random(random);
}

BOOST_AUTO_TEST_CASE(keys_are_found_after_the_module_is_initialised_anew) {
    Scene scene;
    const auto point = TokenKeys(*scene.session).make(Use::signing).point;
    scene.session.reset();
    BOOST_REQUIRE(scene.module->finalize());
    const auto module = pkcs11::Module::initialize(pkcs11::Library::map(softhsm_module));
    const auto token = pkcs11::Token::find(module, scene.uri);
    {
        pkcs11::Session session(token, pkcs11::Access::read_write);
        token->login(session, pkcs11::read_pin(*scene.uri.pin_source()));
        TokenKeys keys(session);
        const auto found = keys.find(Use::signing);
        BOOST_REQUIRE(found);
        BOOST_TEST((found->point == point));
        BOOST_TEST(verify(point, bytes_of("x"), sign(found->key.get(), bytes_of("x"))));
    }
}

BOOST_AUTO_TEST_CASE(numbers_tell_pre_keys_apart_and_destroyed_ones_are_gone) {
    Scene scene;
    TokenKeys keys(*scene.session);
    for (const std::uint64_t epoch : {7U, 9U, 8U})
        keys.make(Use::pre_key, epoch);
    keys.make(Use::sealing);
    BOOST_TEST((keys.numbers(Use::pre_key) == std::vector<std::uint64_t>{7, 8, 9}));
    BOOST_TEST((keys.numbers(Use::sealing) == std::vector<std::uint64_t>{0}));
    keys.destroy(Use::pre_key, 8);
    keys.destroy(Use::pre_key, 8);
    BOOST_TEST((keys.numbers(Use::pre_key) == std::vector<std::uint64_t>{7, 9}));
    BOOST_TEST(!keys.find(Use::pre_key, 8).has_value());
    BOOST_TEST(keys.find(Use::pre_key, 9).has_value());
}

BOOST_AUTO_TEST_CASE(half_a_pair_is_none_and_can_be_destroyed) {
    Scene scene;
    TokenKeys keys(*scene.session);
    keys.make(Use::pre_key, 5);
    scene.session->destroy(private_half(*scene.session, "stekd pre-key"));
    BOOST_TEST(!keys.find(Use::pre_key, 5).has_value());
    BOOST_TEST((keys.numbers(Use::pre_key) == std::vector<std::uint64_t>{5}));
    BOOST_CHECK_THROW(keys.make(Use::pre_key, 5), std::logic_error);
    keys.destroy(Use::pre_key, 5);
    BOOST_TEST(keys.numbers(Use::pre_key).empty());
    BOOST_CHECK_NO_THROW(keys.make(Use::pre_key, 5));
}

// As a kill leaves it while SoftHSM writes the private half, and as who plants a key of his own would.
BOOST_AUTO_TEST_CASE(a_key_that_was_not_made_in_the_token_is_none) {
    Scene scene;
    TokenKeys keys(*scene.session);
    (void)keys.make(Use::signing);
    scene.session->destroy(private_half(*scene.session, "stekd signing"));
    constexpr std::array<std::uint8_t, 10> p256{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    constexpr std::array<std::uint8_t, 8> id{};
    std::array<std::uint8_t, 32> scalar{};
    scalar.back() = 7;
    pkcs11::Attributes planted;
    planted.number(CKA_CLASS, CKO_PRIVATE_KEY)
        .number(CKA_KEY_TYPE, CKK_EC)
        .flag(CKA_TOKEN, true)
        .flag(CKA_PRIVATE, true)
        .bytes(CKA_ID, id)
        .text(CKA_LABEL, "stekd signing")
        .flag(CKA_SENSITIVE, true)
        .flag(CKA_EXTRACTABLE, false)
        .flag(CKA_SIGN, true)
        .bytes(CKA_EC_PARAMS, p256)
        .bytes(CKA_VALUE, scalar);
    scene.session->create(planted);
    BOOST_TEST(!keys.find(Use::signing));
    keys.destroy(Use::signing, 0);
    (void)keys.make(Use::signing);
    BOOST_TEST(keys.find(Use::signing).has_value());
}

BOOST_AUTO_TEST_CASE(a_key_does_what_its_use_needs_and_no_more) {
    Scene scene;
    TokenKeys keys(*scene.session);
    const auto signing = keys.make(Use::signing);
    const auto sealing = keys.make(Use::sealing);
    BOOST_TEST(sign(sealing.key.get(), bytes_of("x")).empty());
    const auto sealed = hpke::seal(signing.point, {}, {}, bytes_of("x"));
    BOOST_CHECK_THROW(hpke::open(signing.key.get(), signing.point, sealed.enc, {}, {}, sealed.ciphertext),
                      hpke::Error);
    for (const auto* label : {"stekd signing", "stekd sealing"}) {
        const auto half = private_half(*scene.session, label);
        BOOST_TEST(!scene.session->attribute(half, CKA_VALUE).has_value());
        for (const auto flag : {CKA_EXTRACTABLE, CKA_COPYABLE, CKA_MODIFIABLE, CKA_DECRYPT, CKA_UNWRAP})
            BOOST_TEST((scene.session->attribute(half, flag) == std::vector<std::uint8_t>{CK_FALSE}));
        BOOST_TEST((scene.session->attribute(half, CKA_SENSITIVE) == std::vector<std::uint8_t>{CK_TRUE}));
    }
}

BOOST_AUTO_TEST_CASE(a_session_that_is_not_logged_in_finds_nothing) {
    Scene scene(false);
    TokenKeys keys(*scene.session);
    BOOST_TEST(!keys.find(Use::signing).has_value());
    BOOST_CHECK_THROW(keys.make(Use::signing), pkcs11::Error);
}
