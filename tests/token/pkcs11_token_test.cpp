// Finding a token: by label, serial, slot; none, several, a blank one; what it must offer.
#define BOOST_TEST_MODULE pkcs11_token
#include "pkcs11/error.hpp"
#include "pkcs11/session.hpp"
#include "tests/fixtures/faulty_module.hpp"
#include "tests/fixtures/softhsm.hpp"

#include <string>

#include <boost/test/unit_test.hpp>

using namespace stek::pkcs11;
using stek::tests::FaultyModule;
using stek::tests::SoftHsm;
using stek::tests::softhsm_module;

namespace {

std::shared_ptr<Token> find(const std::string& uri, const std::string& module = softhsm_module) {
    return Token::find(Module::initialize(Library::map(module)), TokenUri::parse(uri));
}

template <typename Error = TokenError>
std::string refusal(const std::string& uri, const std::string& module = softhsm_module) {
    try {
        find(uri, module);
    } catch (const Error& error) {
        return error.what();
    }
    return "found";
}

bool holds(const std::string& text, const std::string& part) {
    BOOST_TEST_MESSAGE(text);
    return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_token_is_found_by_label_serial_and_slot) {
    SoftHsm hsm;
    const auto vault = hsm.make_token("stek-vault");
    const auto ticket = hsm.make_token("stek ticket");
    for (const auto& uri :
         {std::string("pkcs11:token=stek%20ticket"), "pkcs11:serial=" + ticket.serial,
          "pkcs11:slot-id=" + std::to_string(ticket.slot),
          "pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial=" + ticket.serial}) {
        const auto token = find(uri);
        BOOST_TEST(token->label() == "stek ticket");
        BOOST_TEST(token->serial() == ticket.serial);
        BOOST_TEST(token->slot() == ticket.slot);
        BOOST_TEST((token->flags() & CKF_USER_PIN_INITIALIZED) != 0U);
    }
    BOOST_TEST(find("pkcs11:token=stek-vault")->serial() == vault.serial);
}

BOOST_AUTO_TEST_CASE(none_says_what_there_is) {
    SoftHsm hsm;
    hsm.make_token("one");
    hsm.make_token("two");
    const std::string text = refusal("pkcs11:token=three");
    BOOST_TEST(
        holds(text, "no token of /usr/lib/softhsm/libsofthsm2.so matches pkcs11:token=three; it has "));
    BOOST_TEST(holds(text, "one"));
    BOOST_TEST(holds(text, "two"));
    BOOST_TEST(holds(refusal("pkcs11:token=one;slot-id=1"), "no token"));
    BOOST_TEST(holds(refusal("pkcs11:token=one;serial=00"), "no token"));
}

BOOST_AUTO_TEST_CASE(several_are_listed_and_refused) {
    SoftHsm hsm;
    const auto first = hsm.make_token("same");
    const auto second = hsm.make_token("same");
    const std::string text = refusal("pkcs11:token=same");
    BOOST_TEST(holds(text, "several tokens of "));
    BOOST_TEST(holds(text, first.serial));
    BOOST_TEST(holds(text, second.serial));
    BOOST_TEST(holds(refusal("pkcs11:"), "several tokens of "));
    BOOST_TEST(find("pkcs11:token=same;serial=" + second.serial)->slot() == second.slot);
}

BOOST_AUTO_TEST_CASE(of_several_the_one_with_the_preferred_serial_is_taken) {
    SoftHsm hsm;
    const auto first = hsm.make_token("same");
    const auto second = hsm.make_token("same");
    const auto other = hsm.make_token("other");
    const auto module = Module::initialize(Library::map(softhsm_module));
    const auto preferring = [&](const std::string& uri, const std::string& serial) {
        return Token::find(module, TokenUri::parse(uri), serial)->serial();
    };
    BOOST_TEST(preferring("pkcs11:token=same", first.serial) == first.serial);
    BOOST_TEST(preferring("pkcs11:token=same", second.serial) == second.serial);
    // What the URI does not mean is never taken, and one that it means alone needs no preference.
    BOOST_CHECK_THROW(preferring("pkcs11:token=same", other.serial), TokenError);
    BOOST_TEST(preferring("pkcs11:token=other", first.serial) == other.serial);
}

BOOST_AUTO_TEST_CASE(a_blank_token_is_refused_and_never_in_the_way) {
    SoftHsm hsm;
    BOOST_TEST(holds(refusal("pkcs11:"), "is not initialised"));
    BOOST_TEST(holds(refusal("pkcs11:slot-id=0"), "is not initialised"));
    BOOST_TEST(holds(refusal("pkcs11:token=a"), "no token"));
    BOOST_TEST(holds(refusal("pkcs11:token=a"), "it has none"));
    SoftHsm::finalize();
    const auto only = hsm.make_token("only");
    BOOST_TEST(find("pkcs11:")->serial() == only.serial);
    BOOST_TEST(find("pkcs11:model=SoftHSM%20v2")->serial() == only.serial);
}

BOOST_AUTO_TEST_CASE(a_slot_in_trouble_matters_only_if_it_may_be_the_one) {
    SoftHsm hsm;
    FaultyModule faulty(hsm.directory());
    hsm.make_token("mine");
    const auto find_mine = [&] { return find("pkcs11:token=mine", faulty.path()); };
    BOOST_TEST(find_mine()->label() == "mine");
    unsigned found = 0;
    for (std::uint64_t nth = 1; nth <= 2; ++nth) {  // the token, and SoftHSM's blank one
        faulty.fail_nth("C_GetTokenInfo", nth, CKR_DEVICE_ERROR);
        try {
            found += find_mine()->label() == "mine" ? 1 : 0;
        } catch (const Error& error) {
            BOOST_TEST(error.rv() == CKR_DEVICE_ERROR);
            BOOST_TEST(holds(error.what(), "C_GetTokenInfo: CKR_DEVICE_ERROR (0x30), token in slot "));
        }
    }
    BOOST_TEST(found == 1U);
    faulty.fail("C_GetTokenInfo", CKR_TOKEN_NOT_PRESENT);
    BOOST_TEST(holds(refusal("pkcs11:token=mine", faulty.path()), "it has none"));
    faulty.fail("C_GetSlotList", CKR_FUNCTION_FAILED);
    BOOST_TEST(
        holds(refusal<Error>("pkcs11:token=mine", faulty.path()), "C_GetSlotList: CKR_FUNCTION_FAILED"));
    faulty.clear();
    faulty.fail_nth("C_GetSlotList", 2, CKR_BUFFER_TOO_SMALL);
    BOOST_TEST(find_mine()->label() == "mine");
}

BOOST_AUTO_TEST_CASE(a_missing_mechanism_is_refused_by_name) {
    SoftHsm hsm;
    hsm.make_token("stek-ticket");
    const auto token = find("pkcs11:token=stek-ticket");
    const NeededMechanism there[] = {{CKM_AES_GCM, CKF_ENCRYPT | CKF_DECRYPT},
                                     {CKM_RSA_PKCS_OAEP, CKF_UNWRAP},
                                     {CKM_AES_CBC_ENCRYPT_DATA, CKF_DERIVE}};
    token->require(there);
    BOOST_TEST(token->offers(CKM_AES_GCM, CKF_ENCRYPT));
    BOOST_TEST(!token->offers(CKM_AES_GCM, CKF_DERIVE));
    const NeededMechanism missing[] = {{CKM_AES_GCM, CKF_ENCRYPT},
                                       {CKM_AES_GCM, CKF_ENCRYPT | CKF_DERIVE},
                                       {CKM_SHA256, CKF_DIGEST},
                                       {CKM_SHA256_KEY_DERIVATION, CKF_DERIVE},
                                       {0x402A, CKF_DERIVE}};
    BOOST_CHECK_EXCEPTION(token->require(missing), TokenError, [](const TokenError& error) {
        return error.what() == std::string(
                                   "token stek-ticket has no CKM_AES_GCM for encrypt+derive, "
                                   "CKM_SHA256_KEY_DERIVATION, CKM_0x402A");
    });
}

BOOST_AUTO_TEST_CASE(a_path_that_is_no_module_is_refused_by_name) {
    SoftHsm hsm;
    const auto reason = [](const std::string& path) {
        try {
            Library::map(path);
        } catch (const UriError& error) {
            return std::string(error.what());
        }
        return std::string("mapped");
    };
    BOOST_TEST(holds(reason("/no/such/module.so"), "module-path /no/such/module.so cannot be loaded"));
    BOOST_TEST(holds(reason("/etc/passwd"), "module-path /etc/passwd cannot be loaded"));
    BOOST_TEST(holds(reason("libsofthsm2.so"), "is not an absolute path"));
    BOOST_TEST(holds(reason(""), "is not an absolute path"));
    BOOST_TEST(holds(reason("/usr/lib/x86_64-linux-gnu/libssl.so.3"), "no C_GetFunctionList"));
    BOOST_TEST(Library::map(softhsm_module) == Library::map(softhsm_module));
}
