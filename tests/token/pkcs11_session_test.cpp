// Sessions: what they do, and what becomes of them and of their objects when a call fails.
#define BOOST_TEST_MODULE pkcs11_session
#include "pkcs11/session.hpp"
#include "tests/fixtures/faulty_module.hpp"
#include "tests/fixtures/softhsm.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::pkcs11;
using stek::tests::FaultyModule;
using stek::tests::SoftHsm;

namespace {

CK_MECHANISM key_gen{CKM_AES_KEY_GEN, nullptr, 0};
CK_MECHANISM pair_gen{CKM_RSA_PKCS_KEY_PAIR_GEN, nullptr, 0};
CK_MECHANISM key_wrap{CKM_AES_KEY_WRAP, nullptr, 0};

Attributes aes_key(bool extractable = false, bool token = false) {
    Attributes key;
    key.number(CKA_CLASS, CKO_SECRET_KEY)
        .number(CKA_KEY_TYPE, CKK_AES)
        .number(CKA_VALUE_LEN, 32)
        .flag(CKA_TOKEN, token)
        .flag(CKA_PRIVATE, false)
        .flag(CKA_SENSITIVE, !extractable)
        .flag(CKA_EXTRACTABLE, extractable)
        .flag(CKA_ENCRYPT, true)
        .flag(CKA_DECRYPT, true)
        .flag(CKA_WRAP, true)
        .flag(CKA_UNWRAP, true)
        .flag(CKA_DERIVE, true)
        .text(CKA_LABEL, "test key");
    return key;
}

/// For unwrapping and deriving; SoftHSM takes the length of an unwrapped key from its bytes.
Attributes child_key(bool with_length) {
    Attributes key;
    key.number(CKA_CLASS, CKO_SECRET_KEY)
        .number(CKA_KEY_TYPE, CKK_AES)
        .flag(CKA_TOKEN, false)
        .flag(CKA_PRIVATE, false)
        .flag(CKA_SENSITIVE, false)
        .flag(CKA_EXTRACTABLE, true);
    if (with_length) {
        key.number(CKA_VALUE_LEN, 32);
    }
    return key;
}

struct Gcm {
    Gcm() { iv.fill(7); }
    std::array<std::uint8_t, 12> iv{};
    std::array<std::uint8_t, 4> aad{1, 2, 3, 4};
    CK_GCM_PARAMS params{iv.data(), iv.size(), 96, aad.data(), aad.size(), 128};
    CK_MECHANISM mechanism{CKM_AES_GCM, &params, sizeof params};
};

struct Cbc {
    CK_AES_CBC_ENCRYPT_DATA_PARAMS params{};
    std::array<std::uint8_t, 32> data{};
    CK_MECHANISM mechanism{CKM_AES_CBC_ENCRYPT_DATA, &params, sizeof params};
    Cbc() {
        params.pData = data.data();
        params.length = data.size();
    }
};

struct Fixture {
    Fixture() : faulty(hsm.directory()), made(hsm.make_token("stek-vault")) {
        token = Token::find(Module::initialize(Library::map(faulty.path())),
                            TokenUri::parse("pkcs11:token=stek-vault"));
    }
    Session logged_in(Access access = Access::read_write) const {
        Session session(token, access);
        token->login(session, read_pin(made.pin_file.string()));
        return session;
    }
    SoftHsm hsm;
    FaultyModule faulty;
    tests::TestToken made;
    std::shared_ptr<Token> token;
};

CK_RV error_of(const std::function<void()>& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.rv();
    }
    return CKR_OK;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(sealing_and_opening_go_round, Fixture) {
    Session session(token, Access::read_only);
    auto key_template = aes_key();
    const auto key = session.generate_key(key_gen, key_template);
    const std::vector<std::uint8_t> plain(200, 0x42);
    std::vector<std::uint8_t> sealed(216), opened(216);
    Gcm gcm;
    CK_RV rv = CKR_GENERAL_ERROR;
    BOOST_TEST(session.encrypt(gcm.mechanism, key, plain, sealed, rv) == 216U);
    BOOST_TEST(rv == CKR_OK);
    BOOST_TEST(session.decrypt(gcm.mechanism, key, sealed, opened, rv) == 200U);
    BOOST_TEST(rv == CKR_OK);
    opened.resize(200);
    BOOST_TEST(opened == plain, boost::test_tools::per_element());
    BOOST_TEST(!session.spent());
}

BOOST_FIXTURE_TEST_CASE(a_bad_tag_wipes_the_output_and_spends_the_session, Fixture) {
    Session session(token, Access::read_only);
    auto key_template = aes_key();
    const auto key = session.generate_key(key_gen, key_template);
    std::vector<std::uint8_t> sealed(48), opened(48, 0xEE);
    Gcm gcm;
    CK_RV rv = CKR_OK;
    BOOST_REQUIRE(session.encrypt(gcm.mechanism, key, std::vector<std::uint8_t>(32, 1), sealed, rv) == 48U);
    sealed.back() ^= 1;
    BOOST_TEST(session.decrypt(gcm.mechanism, key, sealed, opened, rv) == 0U);
    BOOST_TEST(rv != CKR_OK);
    BOOST_TEST(session.spent());
    BOOST_TEST(std::ranges::count(opened, 0) == 48);
}

BOOST_FIXTURE_TEST_CASE(too_little_room_is_an_error_that_spends_the_session, Fixture) {
    Session session(token, Access::read_only);
    auto key_template = aes_key();
    const auto key = session.generate_key(key_gen, key_template);
    std::vector<std::uint8_t> sealed(47);
    Gcm gcm;
    CK_RV rv = CKR_OK;
    BOOST_TEST(session.encrypt(gcm.mechanism, key, std::vector<std::uint8_t>(32, 1), sealed, rv) == 0U);
    BOOST_TEST(rv == CKR_BUFFER_TOO_SMALL);
    BOOST_TEST(session.spent());
}

BOOST_FIXTURE_TEST_CASE(keys_are_wrapped_unwrapped_and_derived, Fixture) {
    Session session = logged_in();
    auto wrapping_template = aes_key();
    auto key_template = aes_key(true);
    const auto wrapping = session.generate_key(key_gen, wrapping_template);
    const auto key = session.generate_key(key_gen, key_template);
    const auto wrapped = session.wrap(key_wrap, wrapping, key);
    BOOST_TEST(wrapped.size() == 40U);  // RFC 3394: 8 more than the key
    auto unwrapped_template = child_key(false);
    const auto unwrapped = session.unwrap(key_wrap, wrapping, wrapped, unwrapped_template);
    const Secret before = session.secret_attribute(key, CKA_VALUE);
    const Secret after = session.secret_attribute(unwrapped, CKA_VALUE);
    BOOST_TEST(before.size() == 32U);
    BOOST_TEST(std::ranges::equal(before.bytes(), after.bytes()));
    auto derived_template = child_key(true);
    Cbc cbc;
    const auto derived = session.derive(cbc.mechanism, wrapping, derived_template);
    BOOST_TEST(session.secret_attribute(derived, CKA_VALUE).size() == 32U);
    BOOST_TEST(!session.spent());
}

BOOST_FIXTURE_TEST_CASE(a_key_pair_has_two_halves, Fixture) {
    Session session = logged_in();
    Attributes public_half, private_half;
    const std::uint8_t id[] = {1, 2, 3};
    public_half.flag(CKA_TOKEN, false).number(CKA_MODULUS_BITS, 2048).bytes(CKA_ID, id).flag(CKA_WRAP, true);
    private_half.flag(CKA_TOKEN, false).flag(CKA_SENSITIVE, true).bytes(CKA_ID, id).flag(CKA_UNWRAP, true);
    const KeyPair pair = session.generate_key_pair(pair_gen, public_half, private_half);
    BOOST_TEST(session.number_attribute(pair.public_key, CKA_CLASS).value() == CKO_PUBLIC_KEY);
    BOOST_TEST(session.number_attribute(pair.private_key, CKA_CLASS).value() == CKO_PRIVATE_KEY);
    BOOST_TEST(session.attribute(pair.public_key, CKA_MODULUS).value().size() == 256U);
}

BOOST_FIXTURE_TEST_CASE(what_a_token_will_not_tell_is_absent_not_an_error, Fixture) {
    Session session(token, Access::read_only);
    auto key_template = aes_key();
    const auto key = session.generate_key(key_gen, key_template);
    BOOST_TEST(!session.attribute(key, CKA_VALUE));
    BOOST_TEST(!session.attribute(key, CKA_MODULUS));
    BOOST_TEST(!session.number_attribute(key, CKA_ENCRYPT));  // one byte is no number
    BOOST_TEST(session.number_attribute(key, CKA_VALUE_LEN).value() == 32U);
    const auto label = session.attribute(key, CKA_LABEL).value();
    BOOST_TEST(std::string(label.begin(), label.end()) == "test key");
    BOOST_TEST(session.attribute(key, CKA_ID).value().empty());
    BOOST_TEST(!session.spent());
    BOOST_TEST(error_of([&] { session.secret_attribute(key, CKA_VALUE); }) == CKR_ATTRIBUTE_SENSITIVE);
    BOOST_TEST(error_of([&] { session.attribute(99999, CKA_LABEL); }) == CKR_OBJECT_HANDLE_INVALID);
}

BOOST_FIXTURE_TEST_CASE(finding_brings_all_however_many, Fixture) {
    Session session(token, Access::read_only);
    auto pattern = [] {
        Attributes label;
        label.text(CKA_LABEL, "many");
        return label;
    }();
    BOOST_TEST(session.find(pattern).empty());
    for (int i = 0; i < 150; ++i) {
        Attributes object;
        object.number(CKA_CLASS, CKO_DATA)
            .flag(CKA_TOKEN, false)
            .flag(CKA_PRIVATE, false)
            .text(CKA_LABEL, "many");
        session.create(object);
    }
    auto found = session.find(pattern);
    std::ranges::sort(found);
    BOOST_TEST((std::ranges::unique(found).begin() - found.begin()) == 150);
    faulty.fail_nth("C_FindObjects", 2, CKR_DEVICE_ERROR);
    BOOST_TEST(error_of([&] { session.find(pattern); }) == CKR_DEVICE_ERROR);
    BOOST_TEST(faulty.calls("C_FindObjectsFinal") == faulty.calls("C_FindObjectsInit"));
}

BOOST_FIXTURE_TEST_CASE(scoped_objects_go_with_their_guard, Fixture) {
    Session session(token, Access::read_only);
    Attributes pattern;
    pattern.text(CKA_LABEL, "test key");
    auto key_template = aes_key();
    {
        ScopedObject first(session, session.generate_key(key_gen, key_template));
        const ScopedObject moved(std::move(first));
        BOOST_TEST(session.find(pattern).size() == 1U);
        BOOST_TEST(first.get() == CK_INVALID_HANDLE);  // NOLINT(bugprone-use-after-move)
    }
    BOOST_TEST(session.find(pattern).empty());
    BOOST_TEST(faulty.calls("C_DestroyObject") == 1U);
    {
        ScopedObject kept(session, session.generate_key(key_gen, key_template));
        BOOST_TEST(kept.release() != CK_INVALID_HANDLE);
    }
    BOOST_TEST(session.find(pattern).size() == 1U);
    {
        Session other(token, Access::read_only);
        const ScopedObject object(other, other.generate_key(key_gen, key_template));
        faulty.fail("C_DestroyObject", CKR_DEVICE_ERROR);
    }
    faulty.clear();
    BOOST_TEST(session.find(pattern).size() == 1U);  // the failed one went with its session
}

BOOST_FIXTURE_TEST_CASE(session_objects_go_with_their_session, Fixture) {
    Session watcher(token, Access::read_only);
    Attributes pattern;
    pattern.text(CKA_LABEL, "test key");
    {
        Session session(token, Access::read_only);
        auto key_template = aes_key();
        session.generate_key(key_gen, key_template);
        BOOST_TEST(watcher.find(pattern).size() == 1U);
    }
    BOOST_TEST(watcher.find(pattern).empty());
}

BOOST_FIXTURE_TEST_CASE(a_session_closes_once_however_often_it_moves, Fixture) {
    {
        Session first(token, Access::read_only);
        Session second(std::move(first));
        Session third(token, Access::read_write);
        third = std::move(second);
        BOOST_TEST(faulty.calls("C_CloseSession") == 1U);  // the one that third had
        BOOST_TEST(third.token().label() == "stek-vault");
    }
    BOOST_TEST(faulty.calls("C_OpenSession") == 2U);
    BOOST_TEST(faulty.calls("C_CloseSession") == 2U);
}

BOOST_FIXTURE_TEST_CASE(a_read_only_session_makes_no_token_objects, Fixture) {
    Session session = logged_in(Access::read_only);
    auto key_template = aes_key(false, true);
    BOOST_TEST(error_of([&] { session.generate_key(key_gen, key_template); }) == CKR_SESSION_READ_ONLY);
    Session writable(token, Access::read_write);
    const auto key = writable.generate_key(key_gen, key_template);
    Attributes changes;
    changes.text(CKA_LABEL, "copy").flag(CKA_TOKEN, true);
    const auto copy = writable.copy(key, changes);
    writable.destroy(key);
    writable.destroy(copy);
    BOOST_TEST(error_of([&] { writable.destroy(key); }) == CKR_OBJECT_HANDLE_INVALID);
}

BOOST_FIXTURE_TEST_CASE(no_free_session_is_named, Fixture) {
    faulty.fail("C_OpenSession", CKR_SESSION_COUNT);
    BOOST_CHECK_EXCEPTION(Session(token, Access::read_only), Error, [](const Error& error) {
        return error.what() == std::string("C_OpenSession: CKR_SESSION_COUNT (0xB1), token stek-vault");
    });
    BOOST_TEST(faulty.calls("C_CloseSession") == 0U);
}

BOOST_FIXTURE_TEST_CASE(each_call_that_fails_is_named_and_spends_its_session, Fixture) {
    Session keys = logged_in();
    auto key_template = aes_key(true);
    const auto key = keys.generate_key(key_gen, key_template);
    const auto wrapped = keys.wrap(key_wrap, key, key);
    auto child = child_key(false);
    Attributes first, second;
    std::array<std::uint8_t, 8> bytes{};
    Cbc cbc;
    struct Row {
        const char* function;
        std::function<void(Session&)> call;
    };
    const Row rows[] = {
        {"C_GenerateKey", [&](Session& s) { s.generate_key(key_gen, key_template); }},
        {"C_GenerateKeyPair", [&](Session& s) { s.generate_key_pair(pair_gen, first, second); }},
        {"C_DeriveKey", [&](Session& s) { s.derive(cbc.mechanism, key, child); }},
        {"C_UnwrapKey", [&](Session& s) { s.unwrap(key_wrap, key, wrapped, child); }},
        {"C_WrapKey", [&](Session& s) { s.wrap(key_wrap, key, key); }},
        {"C_CreateObject", [&](Session& s) { s.create(first); }},
        {"C_CopyObject", [&](Session& s) { s.copy(key, first); }},
        {"C_DestroyObject", [&](Session& s) { s.destroy(key); }},
        {"C_FindObjectsInit", [&](Session& s) { s.find(first); }},
        {"C_FindObjects", [&](Session& s) { s.find(first); }},
        {"C_FindObjectsFinal", [&](Session& s) { s.find(first); }},
        {"C_GetAttributeValue", [&](Session& s) { s.attribute(key, CKA_LABEL); }},
        {"C_GenerateRandom", [&](Session& s) { s.random(bytes); }},
    };
    for (const Row& row : rows) {
        Session session(token, Access::read_write);
        faulty.fail(row.function, CKR_DEVICE_REMOVED);
        BOOST_CHECK_EXCEPTION(row.call(session), Error, [&row](const Error& error) {
            const std::string wanted = ": CKR_DEVICE_REMOVED (0x32), token stek-vault";
            return error.rv() == CKR_DEVICE_REMOVED && error.what() == row.function + wanted;
        });
        BOOST_TEST(session.spent(), row.function);
        faulty.clear();
    }
    for (const char* function : {"C_EncryptInit", "C_Encrypt", "C_DecryptInit", "C_Decrypt"}) {
        Session session(token, Access::read_only);
        Gcm gcm;
        std::vector<std::uint8_t> in(16), sealed(32), out(32);
        CK_RV seal_rv = CKR_OK, open_rv = CKR_OK;
        faulty.fail(function, CKR_DEVICE_REMOVED);
        session.encrypt(gcm.mechanism, key, in, sealed, seal_rv);
        session.decrypt(gcm.mechanism, key, sealed, out, open_rv);
        BOOST_TEST((seal_rv == CKR_DEVICE_REMOVED || open_rv == CKR_DEVICE_REMOVED), function);
        BOOST_TEST(session.spent(), function);
        faulty.clear();
    }
}

BOOST_FIXTURE_TEST_CASE(a_failure_of_any_call_leaves_no_session_open, Fixture) {
    const auto story = [&] {
        const auto found = Token::find(token->shared_module(), TokenUri::parse("pkcs11:token=stek-vault"));
        Session session(found, Access::read_write);
        found->login(session, read_pin(made.pin_file.string()));
        auto key_template = aes_key(true);
        const ScopedObject key(session, session.generate_key(key_gen, key_template));
        const auto wrapped = session.wrap(key_wrap, key.get(), key.get());
        auto child = child_key(false);
        const ScopedObject again(session, session.unwrap(key_wrap, key.get(), wrapped, child));
        Attributes all;
        session.find(all);
    };
    std::uint64_t failed = 0;
    for (std::uint64_t nth = 1;; ++nth) {
        const std::uint64_t before = faulty.total_calls();
        faulty.fail_nth_call(nth, CKR_DEVICE_ERROR);
        const CK_RV rv = error_of(story);
        BOOST_REQUIRE((rv == CKR_OK || rv == CKR_DEVICE_ERROR));
        failed += rv != CKR_OK ? 1 : 0;
        if (faulty.total_calls() - before < nth) {
            break;
        }
    }
    faulty.clear();
    BOOST_TEST(failed > 10U);
    // C_OpenSession was made to fail once, and was then not to be closed.
    BOOST_TEST(faulty.calls("C_OpenSession") - 1 == faulty.calls("C_CloseSession"));
}

BOOST_FIXTURE_TEST_CASE(a_wrapped_key_may_need_more_room, Fixture) {
    Session keys = logged_in();
    auto key_template = aes_key(true);
    const auto key = keys.generate_key(key_gen, key_template);
    CK_MECHANISM pair_gen{CKM_RSA_PKCS_KEY_PAIR_GEN, nullptr, 0},
        with_padding{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
    Attributes public_half, private_half;
    public_half.number(CKA_MODULUS_BITS, 2048).bytes(CKA_PUBLIC_EXPONENT, std::vector<std::uint8_t>{1, 0, 1});
    private_half.flag(CKA_EXTRACTABLE, true).flag(CKA_TOKEN, false);
    const auto pair = keys.generate_key_pair(pair_gen, public_half, private_half);
    const auto before = faulty.calls("C_WrapKey");
    BOOST_TEST(keys.wrap(key_wrap, key, key).size() < 100U);
    BOOST_TEST(faulty.calls("C_WrapKey") == before + 1);
    BOOST_TEST(keys.wrap(with_padding, key, pair.private_key).size() > 1024U);
    BOOST_TEST(faulty.calls("C_WrapKey") == before + 3);

    // One that asks for more and does not say how much.
    faulty.fail("C_WrapKey", CKR_BUFFER_TOO_SMALL);
    BOOST_CHECK_EXCEPTION(keys.wrap(key_wrap, key, key), Error, [](const Error& error) {
        return error.rv() == CKR_BUFFER_TOO_SMALL &&
               std::string(error.what()).find("C_WrapKey") != std::string::npos;
    });
}
