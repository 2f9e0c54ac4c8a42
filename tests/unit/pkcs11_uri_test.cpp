// Which URIs name a token, what they match, and what is refused, saying why and showing no PIN.
#define BOOST_TEST_MODULE pkcs11_uri
#include "pkcs11/error.hpp"
#include "pkcs11/uri.hpp"

#include <algorithm>
#include <string>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

using namespace stek::pkcs11;
namespace data = boost::unit_test::data;

namespace {

template <std::size_t N>
void fill(CK_UTF8CHAR (&field)[N], const std::string& text) {
    std::fill(std::begin(field), std::end(field), ' ');
    std::copy(text.begin(), text.end(), field);
}

CK_TOKEN_INFO token(const std::string& label, const std::string& serial) {
    CK_TOKEN_INFO info{};
    fill(info.label, label);
    fill(info.serialNumber, serial);
    fill(info.manufacturerID, "Example");
    fill(info.model, "One");
    return info;
}

struct Refused {
    const char* uri;
    const char* reason;
};

std::ostream& operator<<(std::ostream& out, const Refused& row) {
    return out << row.uri;
}

constexpr Refused refused[] = {
    {"", "scheme"},
    {"token=a", "scheme"},
    {"file:/etc/passwd", "scheme"},
    {"pkcs11:token", "syntax"},
    {"pkcs11:token=%zz", "encoding"},
    {"pkcs11:token=%4", "encoding"},
    {"pkcs11:tokn=a", "does not choose a token"},
    {"pkcs11:Token=a", "does not choose a token"},
    {"pkcs11:tok en=a", "does not choose a token"},
    {"pkcs11:object=key", "does not choose a token"},
    {"pkcs11:token=a;id=%01", "does not choose a token"},
    {"pkcs11:library-manufacturer=a", "does not choose a token"},
    {"pkcs11:slot-description=a", "does not choose a token"},
    {"pkcs11:x-vendor=a", "does not choose a token"},
    {"pkcs11:module-path=/m.so", "does not choose a token"},
    {"pkcs11:token=a?module-name=softhsm2", "does not choose a token"},
    {"pkcs11:token=a?token=b", "does not choose a token"},
    {"pkcs11:token=a?x-vendor=b", "does not choose a token"},
    {"pkcs11:token=a;token=b", "token is given twice"},
    {"pkcs11:token=a?module-path=/a.so&module-path=/b.so", "module-path is given twice"},
    {"pkcs11:token=a?module-path=libsofthsm2.so", "not an absolute path"},
    {"pkcs11:token=a?module-path=", "not an absolute path"},
    {"pkcs11:slot-id=", "slot-id is not a number in range"},
    {"pkcs11:slot-id=-1", "syntax"},
    {"pkcs11:slot-id=0x1", "syntax"},
    {"pkcs11:slot-id=1a", "syntax"},
    {"pkcs11:slot-id=18446744073709551616", "slot-id is not a number in range"},
    {"pkcs11:token=123456789012345678901234567890123", "longer than Cryptoki's field"},
    {"pkcs11:serial=12345678901234567", "longer than Cryptoki's field"},
    {"pkcs11:token=a?pin-source=", "pin-source is none of"},
    {"pkcs11:token=a?pin-source=env:PIN", "pin-source is none of"},
};

std::string refusal(const std::string& uri) {
    try {
        TokenUri::parse(uri);
    } catch (const UriError& error) {
        return error.what();
    }
    return "accepted";
}

}  // namespace

BOOST_AUTO_TEST_CASE(all_that_chooses_a_token_is_read) {
    const auto uri = TokenUri::parse(
        "pkcs11:token=my%20vault;serial=0123;manufacturer=Example;model=One;slot-id=7"
        "?module-path=/usr/lib/m%2eso&pin-source=file:/etc/pin");
    BOOST_TEST(uri.token_label().value() == "my vault");
    BOOST_TEST(uri.module_path().value() == "/usr/lib/m.so");
    BOOST_TEST(uri.pin_source().value() == "file:/etc/pin");
    BOOST_TEST(uri.matches(7, token("my vault", "0123")));
    BOOST_TEST(!uri.matches(8, token("my vault", "0123")));
    BOOST_TEST(!uri.matches(7, token("my vaul", "0123")));
    BOOST_TEST(!uri.matches(7, token("my vault", "0124")));
    auto other = token("my vault", "0123");
    fill(other.model, "Two");
    BOOST_TEST(!uri.matches(7, other));
    other = token("my vault", "0123");
    fill(other.manufacturerID, "Else");
    BOOST_TEST(!uri.matches(7, other));
}

BOOST_AUTO_TEST_CASE(an_empty_uri_matches_all) {
    const auto uri = TokenUri::parse("pkcs11:");
    BOOST_TEST(!uri.module_path());
    BOOST_TEST(!uri.pin_source());
    BOOST_TEST(!uri.token_label());
    BOOST_TEST(uri.matches(3, token("a", "1")));
    BOOST_TEST(uri.text() == "pkcs11:");
}

BOOST_AUTO_TEST_CASE(values_are_not_mistaken_for_names) {
    const auto uri = TokenUri::parse("pkcs11:token=slot-id=5");
    BOOST_TEST(uri.matches(9, token("slot-id=5", "1")));
}

BOOST_AUTO_TEST_CASE(the_longest_label_and_slot_fit) {
    const std::string label(32, 'x');
    const auto uri = TokenUri::parse("pkcs11:token=" + label + ";slot-id=4294967295");
    BOOST_TEST(uri.matches(4294967295, token(label, "1")));
    BOOST_TEST(!uri.matches(0, token(label, "1")));
}

BOOST_AUTO_TEST_CASE(fields_padded_with_zeros_match_too) {
    CK_TOKEN_INFO info{};
    std::copy_n("vault", 5, info.label);
    BOOST_TEST(TokenUri::parse("pkcs11:token=vault").matches(0, info));
}

BOOST_DATA_TEST_CASE(bad_uris_are_refused_with_the_reason, data::make(refused), row) {
    const std::string text = refusal(row.uri);
    BOOST_TEST(text.find(row.reason) != std::string::npos, text);
}

BOOST_AUTO_TEST_CASE(a_pin_in_a_uri_is_refused_and_not_shown) {
    for (const std::string uri :
         {"pkcs11:token=a?pin-value=s3cret", "pkcs11:token=a;pin-value=s3cret",
          "pkcs11:token=%zz?PIN-value=s3cret", "pkcs11:token=a?pin-source=s3cret",
          "pkcs11:tokn=a?pin-source=s3cret", "pkcs11:token=a?pin-source=prompt:s3cret"}) {
        const std::string text = refusal(uri);
        BOOST_TEST(text != "accepted", uri);
        BOOST_TEST(text.find("s3cret") == std::string::npos, text);
    }
}

BOOST_AUTO_TEST_CASE(control_characters_and_nuls_do_not_reach_a_log) {
    const std::string text = refusal("pkcs11:tokn=a\x1b[2J");
    BOOST_TEST(text != "accepted");
    BOOST_TEST(text.find('\x1b') == std::string::npos);
    BOOST_TEST(refusal(std::string("pkcs11:token=a\0;serial=b", 24)) != "accepted");
}
