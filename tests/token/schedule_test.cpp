#define BOOST_TEST_MODULE schedule
#include "provider/schedule.hpp"

#include "provider/vault.hpp"
#include "tests/token/known_keys.hpp"

#include <fstream>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

using namespace stek;
using namespace stek::tests;
using nlohmann::json;

namespace {

json known_chains() {
    std::ifstream file(STEK_VECTORS "/schedule.json");
    BOOST_REQUIRE_MESSAGE(file, "no " STEK_VECTORS "/schedule.json");
    return json::parse(file).at("chains");
}

const RsaPair& rsa() {
    static const RsaPair pair;
    return pair;
}

void check_stek(pkcs11::Session& session, CK_OBJECT_HANDLE chain_key, const json& expected) {
    WrappedStek made;
    derive_stek(session, chain_key, expected["revision"].get<std::uint32_t>(),
                from_hex(expected["hourly_key"]), rsa().spki(), made);
    BOOST_TEST(to_hex(made.name) == expected["key_name"].get<std::string>());
    BOOST_TEST(to_hex(made.admission_key.bytes()) == expected["admission_key"].get<std::string>());
    BOOST_TEST((made.oaep == OaepHash::sha1));  // SoftHSM has no other
    BOOST_TEST(made.wrapped_key.size() == 384U);
    BOOST_TEST(to_hex(rsa().unwrap(made.wrapped_key, "SHA1")) == expected["stek"].get<std::string>());
}

std::vector<std::uint8_t> hourly_key() {
    return std::vector<std::uint8_t>(hourly_key_size, 0x48);
}

}  // namespace

BOOST_AUTO_TEST_CASE(steks_are_those_of_the_independent_program) {
    std::size_t seen = 0;
    const json chains = known_chains();
    for (const json& row : chains) {
        OpenToken vault("vectors");
        const ChainPosition at{row["index"], row["epoch"]};
        auto key = known_chain_key(from_hex(row["chain_key"]), at);
        vault.session.create(key);
        Chain chain(vault.session);
        BOOST_REQUIRE((chain.position() == at));
        for (const json& epoch : row["epochs"])
            for (const json& stek : epoch["steks"]) {
                const ChainKey chain_key = chain.at_epoch(epoch["epoch"]);
                check_stek(vault.session, chain_key.get(), stek);
                ++seen;
            }
        BOOST_TEST(vault.session_objects() == 0U);
        BOOST_TEST(vault.token_objects() == 1U);
    }
    BOOST_TEST(seen == 34U);
}

BOOST_AUTO_TEST_CASE(an_advanced_chain_gives_the_same_steks) {
    const json chains = known_chains();
    for (const json& row : chains) {
        OpenToken vault("vectors");
        const ChainPosition at{row["index"], row["epoch"]};
        auto key = known_chain_key(from_hex(row["chain_key"]), at);
        vault.session.create(key);
        Chain chain(vault.session);
        std::uint64_t from = at.epoch;
        for (const json& epoch : row["epochs"]) {
            const std::uint64_t wanted = epoch["epoch"];
            if (wanted != from)
                chain.advance(wanted - from, wanted);
            from = wanted;
            BOOST_TEST((chain.position() == ChainPosition{at.index + wanted - at.epoch, wanted}));
            check_stek(vault.session, chain.at_epoch(wanted).get(), epoch["steks"][0]);
            BOOST_TEST(vault.token_objects() == 1U);
        }
    }
}

BOOST_AUTO_TEST_CASE(steps_with_different_labels_differ_and_show_nothing) {
    OpenToken vault("steps");
    Chain chain(vault.session);
    chain.make({0, 0});
    const ChainKey key = chain.at_epoch(0);
    const auto child = derive_step(vault.session, key.get(), "mix 0");
    BOOST_TEST(!vault.session.attribute(child.get(), CKA_VALUE).has_value());
    for (const CK_ATTRIBUTE_TYPE type : {CKA_SENSITIVE, CKA_DERIVE, CKA_PRIVATE})
        BOOST_TEST((vault.session.attribute(child.get(), type) == std::vector<std::uint8_t>{1}));
    for (const CK_ATTRIBUTE_TYPE type :
         {CKA_EXTRACTABLE, CKA_TOKEN, CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP})
        BOOST_TEST((vault.session.attribute(child.get(), type) == std::vector<std::uint8_t>{0}));
}

BOOST_AUTO_TEST_CASE(each_input_changes_the_name) {
    OpenToken vault("inputs");
    Chain chain(vault.session);
    chain.make({0, 100});
    WrappedStek base, again, other;
    const auto derive = [&](std::uint64_t epoch, std::uint32_t revision, Bytes hourly, WrappedStek& out) {
        derive_stek(vault.session, chain.at_epoch(epoch).get(), revision, hourly, rsa().spki(), out);
    };
    derive(100, 0, hourly_key(), base);
    derive(100, 0, hourly_key(), again);
    BOOST_TEST(base.name == again.name);
    BOOST_TEST((rsa().unwrap(base.wrapped_key, "SHA1") == rsa().unwrap(again.wrapped_key, "SHA1")));
    derive(101, 0, hourly_key(), other);
    BOOST_TEST(base.name != other.name);
    derive(100, 1, hourly_key(), other);
    BOOST_TEST(base.name != other.name);
    for (std::size_t bit = 0; bit < 8 * hourly_key_size; ++bit) {
        auto hourly = hourly_key();
        hourly[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
        derive(100, 0, hourly, other);
        BOOST_TEST(base.name != other.name);
    }
    BOOST_TEST(vault.session_objects() == 0U);
}

BOOST_AUTO_TEST_CASE(wrong_inputs_are_refused_and_leave_nothing) {
    OpenToken vault("refusals");
    Chain chain(vault.session);
    chain.make({0, 0});
    const ChainKey key = chain.at_epoch(0);
    WrappedStek out;
    const auto good = hourly_key();
    for (const std::size_t size : {0U, 1U, 16U, 31U, 33U, 64U}) {
        const std::vector<std::uint8_t> hourly(size, 7);
        BOOST_CHECK_THROW(derive_stek(vault.session, key.get(), 0, hourly, rsa().spki(), out),
                          std::invalid_argument);
    }
    const auto& spki = rsa().spki();
    for (std::size_t size = 0; size < spki.size(); ++size)
        BOOST_CHECK_THROW(derive_stek(vault.session, key.get(), 0, good, Bytes(spki).first(size), out),
                          std::invalid_argument);
    auto longer = spki;
    longer.push_back(0);
    BOOST_CHECK_THROW(derive_stek(vault.session, key.get(), 0, good, longer, out), std::invalid_argument);
    BOOST_CHECK_THROW(derive_stek(vault.session, key.get(), 0, good, RsaPair(1024).spki(), out),
                      std::invalid_argument);
    const EvpPkey curve(EVP_EC_gen("P-256"), EVP_PKEY_free);
    unsigned char* der = nullptr;
    const int size = i2d_PUBKEY(curve.get(), &der);
    const std::vector<std::uint8_t> not_rsa(der, der + size);
    OPENSSL_free(der);
    BOOST_CHECK_THROW(derive_stek(vault.session, key.get(), 0, good, not_rsa, out), std::invalid_argument);
    BOOST_TEST(!vault.session.spent());
    BOOST_CHECK_THROW(derive_stek(vault.session, CK_INVALID_HANDLE, 0, good, spki, out), pkcs11::Error);
    // SoftHSM has no OAEP with SHA-256: to ask for it is an error that names the call, not a weaker wrapping.
    BOOST_CHECK_THROW(derive_stek(vault.session, key.get(), 0, good, spki, out, OaepHash::sha256),
                      pkcs11::Error);
    BOOST_TEST(vault.session_objects() == 0U);
    BOOST_TEST(vault.token_objects() == 1U);
}
