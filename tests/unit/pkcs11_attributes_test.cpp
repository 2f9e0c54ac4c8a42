// Templates: sizes of the right type, order, addresses that stay.
#define BOOST_TEST_MODULE pkcs11_attributes
#include "pkcs11/attributes.hpp"

#include <cstring>
#include <string>

#include <boost/test/unit_test.hpp>

using namespace stek::pkcs11;

namespace {

std::string value_of(const CK_ATTRIBUTE& attribute) {
    return {static_cast<const char*>(attribute.pValue), attribute.ulValueLen};
}

CK_ULONG number_of(const CK_ATTRIBUTE& attribute) {
    CK_ULONG number = 0;
    BOOST_REQUIRE(attribute.ulValueLen == sizeof number);
    std::memcpy(&number, attribute.pValue, sizeof number);
    return number;
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_kind_has_its_type) {
    const std::uint8_t id[] = {1, 0, 2};
    Attributes list;
    list.flag(CKA_TOKEN, true)
        .flag(CKA_COPYABLE, false)
        .number(CKA_VALUE_LEN, 32)
        .bytes(CKA_ID, id)
        .text(CKA_LABEL, "name")
        .text(CKA_APPLICATION, "")
        .mechanisms({CKM_AES_GCM, CKM_RSA_PKCS_OAEP});
    BOOST_REQUIRE(list.size() == 7U);
    const CK_ATTRIBUTE* at = list.data();
    BOOST_TEST(value_of(at[0]) == std::string("\1", 1));
    BOOST_TEST(value_of(at[1]) == std::string("\0", 1));
    BOOST_TEST(number_of(at[2]) == 32U);
    BOOST_TEST(value_of(at[3]) == std::string("\1\0\2", 3));
    BOOST_TEST(value_of(at[4]) == "name");
    BOOST_TEST(at[5].ulValueLen == 0U);
    BOOST_REQUIRE(at[6].ulValueLen == 2 * sizeof(CK_MECHANISM_TYPE));
    CK_MECHANISM_TYPE allowed[2];
    std::memcpy(allowed, at[6].pValue, sizeof allowed);
    BOOST_TEST(allowed[0] == CKM_AES_GCM);
    BOOST_TEST(allowed[1] == CKM_RSA_PKCS_OAEP);
    BOOST_TEST(at[6].type == CKA_ALLOWED_MECHANISMS);
}

BOOST_AUTO_TEST_CASE(addresses_stay_while_the_list_grows_and_moves) {
    Attributes list;
    list.text(CKA_LABEL, "first");
    const void* first = list.data()[0].pValue;
    for (CK_ULONG i = 0; i < 1000; ++i) {
        list.number(CKA_VALUE_LEN, i);
    }
    Attributes moved(std::move(list));
    BOOST_TEST(moved.data()[0].pValue == first);
    Attributes assigned;
    assigned.text(CKA_LABEL, "old");
    assigned = std::move(moved);
    BOOST_TEST(assigned.size() == 1001U);
    BOOST_TEST(assigned.data()[0].pValue == first);
    for (CK_ULONG i = 0; i < 1000; ++i) {
        BOOST_REQUIRE(number_of(assigned.data()[i + 1]) == i);
    }
}

BOOST_AUTO_TEST_CASE(a_nested_template_lives_with_the_outer_one) {
    Attributes outer;
    {
        Attributes inner;
        inner.number(CKA_CLASS, CKO_SECRET_KEY).flag(CKA_EXTRACTABLE, false);
        outer.nested(CKA_UNWRAP_TEMPLATE, std::move(inner));
    }
    outer.flag(CKA_MODIFIABLE, false);
    const Attributes moved(std::move(outer));
    const CK_ATTRIBUTE& nested = const_cast<Attributes&>(moved).data()[0];
    BOOST_REQUIRE(nested.ulValueLen == 2 * sizeof(CK_ATTRIBUTE));
    const auto* inside = static_cast<const CK_ATTRIBUTE*>(nested.pValue);
    BOOST_TEST(number_of(inside[0]) == CKO_SECRET_KEY);
    BOOST_TEST(inside[1].type == CKA_EXTRACTABLE);
    BOOST_TEST(value_of(inside[1]) == std::string("\0", 1));
}
