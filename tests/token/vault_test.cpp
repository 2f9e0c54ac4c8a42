#define BOOST_TEST_MODULE vault
#include "provider/vault.hpp"

#include "provider/schedule.hpp"
#include "tests/token/known_keys.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <thread>

#include <boost/process/args.hpp>
#include <boost/process/child.hpp>
#include <boost/process/io.hpp>
#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::tests;

namespace {

const std::vector<std::uint8_t> some_key(32, 0xC0);

/// The name of the STEK at an epoch tells which chain key is behind it.
KeyName name_at(pkcs11::Session& session, std::uint64_t epoch) {
    static const RsaPair rsa(2048);
    static const std::vector<std::uint8_t> hourly(hourly_key_size, 0x48);
    WrappedStek stek;
    derive_stek(session, Chain(session).at_epoch(epoch).get(), 0, hourly, rsa.spki(), stek);
    return stek.name;
}

CK_OBJECT_HANDLE put(OpenToken& vault, ChainPosition at, Bytes value = some_key) {
    auto key = known_chain_key(value, at);
    return vault.session.create(key);
}

}  // namespace

BOOST_AUTO_TEST_CASE(softhsm_offers_what_a_vault_needs) {
    const OpenToken vault("vault");
    BOOST_CHECK_NO_THROW(vault.token->require(vault_mechanisms()));
}

BOOST_AUTO_TEST_CASE(an_empty_vault_has_no_position) {
    OpenToken vault("vault");
    Chain chain(vault.session);
    BOOST_TEST(!chain.position().has_value());
    BOOST_CHECK_THROW(chain.at_epoch(0), pkcs11::TokenError);
    BOOST_CHECK_THROW(chain.advance(1, 1), pkcs11::TokenError);
    BOOST_TEST(chain.destroy_older() == 0U);
}

BOOST_AUTO_TEST_CASE(a_new_chain_key_takes_the_place_of_one_below_it) {
    OpenToken vault("vault");
    Chain chain(vault.session);
    chain.make({3, 480000});
    chain.make({4, 480001});
    BOOST_TEST((chain.position() == ChainPosition{4, 480001}));
    BOOST_TEST(chain.destroy_older() == 1U);
    BOOST_TEST(vault.token_objects() == 1U);
    BOOST_TEST((chain.position() == ChainPosition{4, 480001}));
}

BOOST_AUTO_TEST_CASE(a_chain_key_stays_in_the_token) {
    OpenToken vault("vault");
    Chain chain(vault.session);
    chain.make({3, 480000});
    BOOST_TEST((chain.position() == ChainPosition{3, 480000}));
    BOOST_CHECK_THROW(chain.make({3, 480001}), pkcs11::TokenError);
    BOOST_CHECK_THROW(chain.make({2, 480001}), pkcs11::TokenError);
    BOOST_TEST(vault.token_objects() == 1U);
    BOOST_TEST(vault.session_objects() == 0U);
    const ChainKey key = chain.at_epoch(480000);
    BOOST_TEST(!vault.session.attribute(key.get(), CKA_VALUE).has_value());
    for (const CK_ATTRIBUTE_TYPE type : {CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE, CKA_DERIVE,
                                         CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_LOCAL})
        BOOST_TEST((vault.session.attribute(key.get(), type) == std::vector<std::uint8_t>{1}),
                   "attribute " << type);
    for (const CK_ATTRIBUTE_TYPE type :
         {CKA_EXTRACTABLE, CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP})
        BOOST_TEST((vault.session.attribute(key.get(), type) == std::vector<std::uint8_t>{0}),
                   "attribute " << type);
}

BOOST_AUTO_TEST_CASE(no_two_chains_are_the_same) {
    OpenToken vault("vault");
    Chain chain(vault.session);
    chain.make({0, 0});
    const KeyName first = name_at(vault.session, 0);
    vault.session.destroy(chain.at_epoch(0).get());
    BOOST_TEST(!chain.position().has_value());
    chain.make({0, 0});
    BOOST_TEST(first != name_at(vault.session, 0));
}

BOOST_AUTO_TEST_CASE(the_ratchet_goes_forward_only) {
    OpenToken vault("vault");
    Chain chain(vault.session);
    chain.make({10, 100});
    const KeyName at_103 = name_at(vault.session, 103);
    const KeyName at_104 = name_at(vault.session, 104);
    chain.advance(3, 103);
    BOOST_TEST((chain.position() == ChainPosition{13, 103}));
    BOOST_TEST(vault.token_objects() == 1U);
    BOOST_TEST(vault.session_objects() == 0U);
    BOOST_TEST(name_at(vault.session, 103) == at_103);
    BOOST_TEST(name_at(vault.session, 104) == at_104);
    for (const std::uint64_t gone : {0, 99, 100, 101, 102})
        BOOST_CHECK_THROW(chain.at_epoch(gone), std::out_of_range);
    BOOST_CHECK_THROW(chain.advance(0, 104), std::out_of_range);
    BOOST_CHECK_THROW(chain.advance(Chain::max_advance + 1, 104), std::out_of_range);
    BOOST_CHECK_THROW(chain.advance(UINT64_MAX, 104), std::out_of_range);
    BOOST_TEST((chain.position() == ChainPosition{13, 103}));
    // Standalone, the index counts rotations: the epoch may jump, and even go back with the clock.
    chain.advance(1, 5000);
    BOOST_TEST((chain.position() == ChainPosition{14, 5000}));
    BOOST_TEST(name_at(vault.session, 5000) == at_104);
    chain.advance(1, 200);
    BOOST_TEST((chain.position() == ChainPosition{15, 200}));
}

BOOST_AUTO_TEST_CASE(derives_ahead_only_so_far) {
    OpenToken vault("vault");
    Chain chain(vault.session);
    chain.make({0, 7});
    BOOST_TEST(chain.at_epoch(7 + Chain::max_steps_ahead).get() != CK_INVALID_HANDLE);
    BOOST_CHECK_THROW(chain.at_epoch(8 + Chain::max_steps_ahead), std::out_of_range);
    BOOST_CHECK_THROW(chain.at_epoch(UINT64_MAX), std::out_of_range);
    BOOST_TEST(vault.session_objects() == 0U);
    BOOST_TEST((chain.position() == ChainPosition{0, 7}));
}

BOOST_AUTO_TEST_CASE(the_index_does_not_wrap) {
    OpenToken vault("vault");
    put(vault, {UINT64_MAX - 1, UINT64_MAX});
    Chain chain(vault.session);
    BOOST_TEST((chain.position() == ChainPosition{UINT64_MAX - 1, UINT64_MAX}));
    BOOST_CHECK_THROW(chain.advance(2, 0), std::out_of_range);
    chain.advance(1, 0);
    BOOST_TEST((chain.position() == ChainPosition{UINT64_MAX, 0}));
    BOOST_CHECK_THROW(chain.advance(1, 0), std::out_of_range);
}

BOOST_AUTO_TEST_CASE(older_keys_are_destroyed) {
    OpenToken vault("vault");
    put(vault, {1, 50});
    put(vault, {3, 40});
    put(vault, {2, 60});
    Chain chain(vault.session);
    BOOST_TEST((chain.position() == ChainPosition{3, 40}));
    BOOST_TEST(chain.destroy_older() == 2U);
    BOOST_TEST((chain.position() == ChainPosition{3, 40}));
    BOOST_TEST(vault.token_objects() == 1U);
    BOOST_TEST(chain.destroy_older() == 0U);
}

BOOST_AUTO_TEST_CASE(what_is_not_a_chain_key_is_passed_over) {
    OpenToken vault("vault");
    const ChainPosition far{900, 900};
    const auto foreign = [&](auto change) {
        auto key = known_chain_key(some_key, far);
        change(key);
        vault.session.create(key);
    };
    const auto replace = [](pkcs11::Attributes& key, CK_ATTRIBUTE_TYPE type, auto value) {
        for (CK_ULONG i = 0; i < key.size(); ++i)
            if (key.data()[i].type == type)
                std::memcpy(key.data()[i].pValue, &value, sizeof value);
    };
    const auto shorten = [](pkcs11::Attributes& key, CK_ATTRIBUTE_TYPE type, CK_ULONG size) {
        for (CK_ULONG i = 0; i < key.size(); ++i)
            if (key.data()[i].type == type)
                key.data()[i].ulValueLen = size;
    };
    foreign([&](auto& key) { replace(key, CKA_SENSITIVE, CK_BBOOL{CK_FALSE}); });
    foreign([&](auto& key) { replace(key, CKA_EXTRACTABLE, CK_BBOOL{CK_TRUE}); });
    foreign([&](auto& key) { replace(key, CKA_DERIVE, CK_BBOOL{CK_FALSE}); });
    foreign([&](auto& key) { replace(key, CKA_KEY_TYPE, CK_KEY_TYPE{CKK_GENERIC_SECRET}); });
    foreign([&](auto& key) { shorten(key, CKA_ID, 15); });
    foreign([&](auto& key) { shorten(key, CKA_ID, 0); });
    foreign([&](auto& key) { shorten(key, CKA_VALUE, 16); });
    foreign([&](auto& key) { shorten(key, CKA_LABEL, 21); });
    foreign([&](auto& key) { replace(key, CKA_ALLOWED_MECHANISMS, CK_MECHANISM_TYPE{CKM_AES_GCM}); });
    foreign([&](auto& key) { replace(key, CKA_TOKEN, CK_BBOOL{CK_FALSE}); });
    BOOST_TEST(vault.token_objects() == 9U);
    BOOST_TEST(vault.session_objects() == 1U);
    Chain chain(vault.session);
    BOOST_TEST(!chain.position().has_value());
    chain.make({1, 2});
    BOOST_TEST((chain.position() == ChainPosition{1, 2}));
    chain.advance(1, 3);
    BOOST_TEST((chain.position() == ChainPosition{2, 3}));
    BOOST_TEST(vault.token_objects() == 10U);
}

// What a kill during a write leaves in SoftHSM's directory, at any length.
BOOST_AUTO_TEST_CASE(half_written_objects_are_passed_over) {
    namespace fs = std::filesystem;
    OpenToken vault("vault");
    Chain chain(vault.session);
    const ChainPosition kept{1, 1};
    put(vault, kept);
    const auto object_files = [&] {
        std::set<fs::path> files;
        for (const auto& entry : fs::directory_iterator(vault.made.directory))
            if (entry.path().extension() == ".object" && entry.path().filename() != "token.object")
                files.insert(entry.path());
        return files;
    };
    const auto before = object_files();
    const CK_OBJECT_HANDLE newer = put(vault, {2, 2});
    std::string whole;
    for (const fs::path& file : object_files())
        if (!before.contains(file)) {
            std::ifstream in(file, std::ios::binary);
            whole.assign(std::istreambuf_iterator<char>(in), {});
        }
    vault.session.destroy(newer);
    BOOST_REQUIRE((chain.position() == kept));
    BOOST_REQUIRE(whole.size() > 100U);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const fs::path half = vault.made.directory / ("half-" + std::to_string(size) + ".object");
        std::ofstream(half, std::ios::binary) << whole.substr(0, size);
    }
    // Another process sees them all afresh.
    SoftHsm::finalize();
    const auto token = find_token(SoftHsm::uri(vault.made));
    pkcs11::Session session = log_in(token, "file:" + vault.made.pin_file.string());
    Chain again(session);
    BOOST_TEST((again.position() == kept));
    again.advance(5, 7);
    BOOST_TEST((again.position() == ChainPosition{kept.index + 5, 7}));
}

// Killed at any moment of an advance, the vault holds a chain key that derives what it should, and the next
// destroy_older() leaves just one.
BOOST_AUTO_TEST_CASE(a_kill_at_any_moment_loses_nothing) {
    namespace process = boost::process;
    SoftHsm softhsm;
    const TestToken made = softhsm.make_token("vault");
    const ChainPosition start{0, 1000};
    KeyName first;
    {
        const auto token = find_token(SoftHsm::uri(made));
        pkcs11::Session session = log_in(token, "file:" + made.pin_file.string());
        auto key = known_chain_key(some_key, start);
        session.create(key);
        first = name_at(session, 1000 + 64);
    }
    std::mt19937 random(20260707);
    unsigned doubles = 0;
    std::uint64_t last = start.index;
    for (unsigned round = 0; round < 40; ++round) {
        SoftHsm::finalize();
        process::ipstream out;
        process::child child(STEK_HELPER, "advance", SoftHsm::uri_with_pin(made), process::std_out > out);
        std::string line;
        BOOST_REQUIRE(std::getline(out, line));
        BOOST_REQUIRE_EQUAL(line, "ready");
        for (unsigned wait = 1 + random() % 5; wait > 0; --wait)
            BOOST_REQUIRE(std::getline(out, line));
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 7000));
        BOOST_REQUIRE_EQUAL(kill(child.id(), SIGKILL), 0);
        child.wait();
        const auto token = find_token(SoftHsm::uri(made));
        pkcs11::Session session = log_in(token, "file:" + made.pin_file.string());
        Chain chain(session);
        const auto at = chain.position();
        BOOST_REQUIRE(at.has_value());
        BOOST_TEST(at->index >= last);
        BOOST_TEST(at->epoch == start.epoch + at->index);
        last = at->index;
        doubles += chain.destroy_older();
        BOOST_TEST((chain.position() == at));
        pkcs11::Attributes all;
        all.flag(CKA_TOKEN, true);
        BOOST_TEST(session.find(all).size() == 1U);
        if (at->epoch <= 1064)
            BOOST_TEST(name_at(session, 1064) == first);
    }
    BOOST_TEST(last >= start.index + 40);
    BOOST_TEST_MESSAGE("killed with two keys in the token: " << doubles << " of 40 times");
    // The key at the end is the one that the first becomes in a vault that nobody disturbed.
    SoftHsm::finalize();
    const auto name_of = [&](const TestToken& which, bool undisturbed) {
        pkcs11::Session session = log_in(find_token(SoftHsm::uri(which)), "file:" + which.pin_file.string());
        if (undisturbed) {
            auto key = known_chain_key(some_key, start);
            session.create(key);
            Chain(session).advance(last, start.epoch + last);
        }
        return name_at(session, start.epoch + last);
    };
    const TestToken other = softhsm.make_token("undisturbed");
    BOOST_TEST(name_of(made, false) == name_of(other, true));
}

namespace {

/// How many of the token's files have either half of these bytes in them.
std::size_t files_with(const TestToken& token, Bytes value) {
    const auto has = [](const std::string& text, Bytes part) {
        return std::search(text.begin(), text.end(), part.begin(), part.end(),
                           [](char one, std::uint8_t other) {
                               return static_cast<std::uint8_t>(one) == other;
                           }) != text.end();
    };
    std::size_t found = 0, files = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(token.directory)) {
        std::ifstream file(entry.path(), std::ios::binary);
        const std::string text(std::istreambuf_iterator<char>(file), {});
        ++files;
        found +=
            has(text, value.first(value.size() / 2)) || has(text, value.subspan(value.size() / 2)) ? 1 : 0;
    }
    BOOST_TEST(files > 3U);
    return found;
}

/// "one", "none" or the error: what who logs in with that PIN finds of chain keys.
std::string chain_keys_by(const TestToken& made, const std::string& pin) {
    pkcs11::Session session(find_token(SoftHsm::uri(made)), pkcs11::Access::read_write);
    std::string outcome;
    try {
        session.shared_token()->login(
            session, Secret::copy_of({reinterpret_cast<const std::uint8_t*>(pin.data()), pin.size()}));
    } catch (const pkcs11::Error& error) {
        outcome = pkcs11::rv_name(error.rv()) + ", ";
    }
    pkcs11::Attributes keys;
    keys.number(CKA_CLASS, CKO_SECRET_KEY).text(CKA_LABEL, "stekd chain aes-cbc v1");
    outcome += session.find(keys).empty() && !Chain(session).position() ? "none" : "one";
    return outcome;
}

}  // namespace

// Threat model: the vault's files, without its PIN.
BOOST_AUTO_TEST_CASE(a_vault_s_files_do_not_show_its_chain_key) {
    std::vector<std::uint8_t> private_value(32), open_value(32);
    std::mt19937 random(7);
    for (auto* value : {&private_value, &open_value})
        std::generate(value->begin(), value->end(), [&] { return static_cast<std::uint8_t>(random()); });
    SoftHsm softhsm;
    const TestToken made = softhsm.make_token("vault");
    {
        auto session = log_in(find_token(SoftHsm::uri(made)), "file:" + made.pin_file.string());
        auto key = known_chain_key(private_value, {0, 480000});
        session.create(key);
        // What is not private lies there in the clear.
        pkcs11::Attributes open;
        open.number(CKA_CLASS, CKO_SECRET_KEY)
            .number(CKA_KEY_TYPE, CKK_AES)
            .bytes(CKA_VALUE, open_value)
            .flag(CKA_TOKEN, true)
            .flag(CKA_PRIVATE, false);
        session.create(open);
    }
    SoftHsm::finalize();
    BOOST_TEST(files_with(made, open_value) == 1U);
    BOOST_TEST(files_with(made, private_value) == 0U);
    for (const auto& pin : {made.pin, made.so_pin})
        BOOST_TEST(files_with(made, {reinterpret_cast<const std::uint8_t*>(pin.data()), pin.size()}) == 0U);

    for (const auto& wrong : {made.so_pin, made.pin + "9", std::string("0000")}) {
        BOOST_TEST(chain_keys_by(made, wrong) == "CKR_PIN_INCORRECT, none");
        SoftHsm::finalize();
    }
    BOOST_TEST(chain_keys_by(made, made.pin) == "one");
}
