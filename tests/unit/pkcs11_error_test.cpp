// Return values and mechanisms have the standard's names; errors say which call, what and whose.
#define BOOST_TEST_MODULE pkcs11_error
#include "pkcs11/error.hpp"

#include <set>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

using namespace stek::pkcs11;
namespace data = boost::unit_test::data;

namespace {

// PKCS#11 2.40, pkcs11t.h: every return value that the standard defines, in its order.
constexpr CK_RV standard[] = {
    0x0,   0x1,   0x2,   0x3,   0x5,   0x6,   0x7,   0x8,   0x9,   0xA,   0x10,  0x11,  0x12,  0x13,
    0x1B,  0x20,  0x21,  0x30,  0x31,  0x32,  0x40,  0x41,  0x50,  0x51,  0x54,  0x60,  0x62,  0x63,
    0x64,  0x65,  0x66,  0x67,  0x68,  0x69,  0x6A,  0x70,  0x71,  0x82,  0x90,  0x91,  0xA0,  0xA1,
    0xA2,  0xA3,  0xA4,  0xB0,  0xB1,  0xB3,  0xB4,  0xB5,  0xB6,  0xB7,  0xB8,  0xC0,  0xC1,  0xD0,
    0xD1,  0xE0,  0xE1,  0xE2,  0xF0,  0xF1,  0xF2,  0x100, 0x101, 0x102, 0x103, 0x104, 0x105, 0x110,
    0x112, 0x113, 0x114, 0x115, 0x120, 0x121, 0x130, 0x140, 0x150, 0x160, 0x170, 0x180, 0x190, 0x191,
    0x1A0, 0x1A1, 0x1B0, 0x1B1, 0x1C0, 0x1C1, 0x1C2, 0x1C3, 0x1C4, 0x200,
};

struct Row {
    unsigned long value;
    const char* name;
};

std::ostream& operator<<(std::ostream& out, const Row& row) {
    return out << row.name;
}

constexpr Row return_values[] = {
    {0x0, "CKR_OK"},
    {0x5, "CKR_GENERAL_ERROR"},
    {0x1B, "CKR_ACTION_PROHIBITED"},
    {0x30, "CKR_DEVICE_ERROR"},
    {0x68, "CKR_KEY_FUNCTION_NOT_PERMITTED"},
    {0x70, "CKR_MECHANISM_INVALID"},
    {0x90, "CKR_OPERATION_ACTIVE"},
    {0xA0, "CKR_PIN_INCORRECT"},
    {0xA4, "CKR_PIN_LOCKED"},
    {0xB1, "CKR_SESSION_COUNT"},
    {0xD1, "CKR_TEMPLATE_INCONSISTENT"},
    {0xF0, "CKR_UNWRAPPING_KEY_HANDLE_INVALID"},
    {0x191, "CKR_CRYPTOKI_ALREADY_INITIALIZED"},
    {0x1C4, "CKR_PUBLIC_KEY_INVALID"},
    {0x200, "CKR_FUNCTION_REJECTED"},
    {0x123, "CKR_0x123"},
    {0x80000000, "CKR_VENDOR_DEFINED+0x0"},
    {0x80000001, "CKR_VENDOR_DEFINED+0x1"},
};

constexpr Row mechanisms[] = {
    {0x0, "CKM_RSA_PKCS_KEY_PAIR_GEN"},
    {0x1, "CKM_RSA_PKCS"},
    {0x9, "CKM_RSA_PKCS_OAEP"},
    {0x250, "CKM_SHA256"},
    {0x1040, "CKM_EC_KEY_PAIR_GEN"},
    {0x1050, "CKM_ECDH1_DERIVE"},
    {0x1080, "CKM_AES_KEY_GEN"},
    {0x1082, "CKM_AES_CBC"},
    {0x1087, "CKM_AES_GCM"},
    {0x1105, "CKM_AES_CBC_ENCRYPT_DATA"},
    {0x2109, "CKM_AES_KEY_WRAP"},
    {0x12345678, "CKM_0x12345678"},
    {0x80000002, "CKM_VENDOR_DEFINED+0x2"},
};

}  // namespace

BOOST_DATA_TEST_CASE(return_values_have_their_names, data::make(return_values), row) {
    BOOST_TEST(rv_name(row.value) == row.name);
}

BOOST_DATA_TEST_CASE(mechanisms_have_their_names, data::make(mechanisms), row) {
    BOOST_TEST(mechanism_name(row.value) == row.name);
}

BOOST_AUTO_TEST_CASE(every_return_value_of_the_standard_has_a_name_of_its_own) {
    std::set<std::string> names;
    for (const CK_RV rv : standard) {
        const std::string name = rv_name(rv);
        BOOST_TEST(!name.starts_with("CKR_0x"), name << " is not named");
        names.insert(name);
    }
    BOOST_TEST(names.size() == std::size(standard));
}

BOOST_AUTO_TEST_CASE(an_error_names_call_value_and_token) {
    const Error error("C_Login", CKR_PIN_INCORRECT, "stek-vault");
    BOOST_TEST(error.what() == "C_Login: CKR_PIN_INCORRECT (0xA0), token stek-vault");
    BOOST_TEST(error.rv() == CKR_PIN_INCORRECT);
    BOOST_TEST(Error("C_Initialize", 0x80000001).what() ==
               std::string("C_Initialize: CKR_VENDOR_DEFINED+0x1 (0x80000001)"));
    BOOST_TEST(Error("C_Sign", ~0UL).what() ==
               std::string("C_Sign: CKR_VENDOR_DEFINED+0xFFFFFFFF7FFFFFFF (0xFFFFFFFFFFFFFFFF)"));
}

BOOST_AUTO_TEST_CASE(check_throws_unless_ok) {
    check("C_Login", CKR_OK);
    BOOST_CHECK_EXCEPTION(check("C_Login", CKR_PIN_LOCKED), Error,
                          [](const Error& error) { return error.rv() == CKR_PIN_LOCKED; });
}
