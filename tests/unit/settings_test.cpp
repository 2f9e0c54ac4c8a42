// The provider's section of openssl.cnf: what each key takes, and that nothing else passes.
#define BOOST_TEST_MODULE settings
#include "provider/settings.hpp"

#include <ostream>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

using namespace stek;

namespace {

using Section = std::map<std::string, std::string>;

const std::string uri = "pkcs11:token=stek-ticket?module-path=/usr/lib/softhsm/libsofthsm2.so";

Section least() {
    return {{"token", uri}, {"keyring", "/run/stekd/live/ring"}};
}

Section with(const std::string& key, const std::string& value) {
    Section section = least();
    section[key] = value;
    return section;
}

/// What the error says.
std::string refusal(const Section& section) {
    try {
        parse_settings(section);
    } catch (const SettingsError& error) {
        return error.what();
    }
    return "not refused";
}

bool has(const std::string& text, const std::string& part) {
    BOOST_TEST_INFO(text);
    return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_CASE(missing_keys_mean_the_defaults) {
    const Settings settings = parse_settings(least());
    BOOST_TEST(settings.token.text() == uri);
    BOOST_TEST(settings.keyring == "/run/stekd/live/ring");
    BOOST_TEST(settings.module_config.empty());
    BOOST_TEST(settings.location.empty());
    BOOST_TEST(settings.stats.empty());
    BOOST_TEST((settings.attach == Attach::yes));
    BOOST_TEST(settings.audience.empty());
    BOOST_TEST(!settings.audience_replaces);
    BOOST_TEST(settings.max_lineage == 86400);
    BOOST_TEST(!settings.early_data);
    BOOST_TEST(settings.stale_epochs == 2U);
    BOOST_TEST(settings.max_processes == 1024U);
}

BOOST_AUTO_TEST_CASE(every_key_is_read) {
    Section section = least();
    section.insert({{"module-config", "/etc/stekd/softhsm2.conf"},
                    {"location", "ams-1.example"},
                    {"stats", "/run/stekd/stats"},
                    {"attach", "force"},
                    {"audience", "trust store of May"},
                    {"max-lineage", "2592000"},
                    {"early-data", "yes"},
                    {"stale-epochs", "48"},
                    {"max-processes", "1048576"},
                    // OpenSSL's own, handed over with the rest.
                    {"module", "stek.so"},
                    {"activate", "1"},
                    {"identity", "stek"},
                    {"soft_load", "1"}});
    const Settings settings = parse_settings(section);
    BOOST_TEST(settings.module_config == "/etc/stekd/softhsm2.conf");
    BOOST_TEST(settings.location == "ams-1.example");
    BOOST_TEST(settings.stats == "/run/stekd/stats");
    BOOST_TEST((settings.attach == Attach::force));
    BOOST_TEST(settings.audience == "trust store of May");
    BOOST_TEST(!settings.audience_replaces);
    BOOST_TEST(settings.max_lineage == 2592000);
    BOOST_TEST(settings.early_data);
    BOOST_TEST(settings.stale_epochs == 48U);
    BOOST_TEST(settings.max_processes == 1048576U);
}

BOOST_AUTO_TEST_CASE(other_values) {
    BOOST_TEST((parse_settings(with("attach", "yes")).attach == Attach::yes));
    BOOST_TEST((parse_settings(with("attach", "no")).attach == Attach::no));
    BOOST_TEST(!parse_settings(with("early-data", "no")).early_data);
    BOOST_TEST(parse_settings(with("max-lineage", "1")).max_lineage == 1);
    BOOST_TEST(parse_settings(with("stale-epochs", "0")).stale_epochs == 0U);
    BOOST_TEST(parse_settings(with("max-processes", "1")).max_processes == 1U);
    const Settings only = parse_settings(with("audience", "only:the shop"));
    BOOST_TEST(only.audience == "the shop");
    BOOST_TEST(only.audience_replaces);
    BOOST_TEST(parse_settings(with("token", uri + "&pin-source=file:/etc/stekd/pin")).token.text() ==
               uri + "&pin-source=file:/etc/stekd/pin");
}

BOOST_AUTO_TEST_CASE(what_must_be_there) {
    Section section = least();
    section.erase("token");
    BOOST_TEST(has(refusal(section), "token: missing"));
    section = least();
    section.erase("keyring");
    BOOST_TEST(has(refusal(section), "keyring: missing"));
    section["attach"] = "force";
    BOOST_TEST(has(refusal(section), "keyring: missing"));
    section["attach"] = "no";
    BOOST_TEST(parse_settings(section).keyring.empty());
    BOOST_TEST(has(refusal({}), "token: missing"));
}

BOOST_AUTO_TEST_CASE(an_unknown_key_is_named_with_the_known_ones_and_without_its_value) {
    const std::string text = refusal(with("key-ring", "4711"));
    BOOST_TEST(has(text, "key-ring: no such key"));
    for (const char* known : {"token", "module-config", "keyring", "location", "stats", "attach", "audience",
                              "max-lineage", "early-data", "stale-epochs", "max-processes"})
        BOOST_TEST(has(text, known));
    BOOST_TEST(!has(text, "4711"));
    BOOST_TEST(has(refusal(with("Attach", "yes")), "Attach: no such key"));
    BOOST_TEST(has(refusal(with("", "yes")), ": no such key"));
    BOOST_TEST(has(refusal(with("sub.section", "yes")), "sub.section: no such key"));
}

namespace {

struct Wrong {
    const char* key;
    std::string value;
    const char* reason;
};
std::ostream& operator<<(std::ostream& out, const Wrong& wrong) {
    return out << wrong.key << " = " << wrong.value;
}

const Wrong wrongs[] = {
    {"token", "", "token"},
    {"token", "stek-ticket", "token: "},
    {"token", "pkcs11:token=%zz?module-path=/m.so", "token: "},
    {"token", "pkcs11:token=stek-ticket", "no module-path"},
    {"token", "pkcs11:token=stek-ticket?module-path=softhsm.so", "module-path is not an absolute path"},
    {"keyring", "", "not an absolute path"},
    {"keyring", "ring", "not an absolute path"},
    {"keyring", "./ring", "not an absolute path"},
    {"keyring", "/" + std::string(5000, 'a'), "longer than a path can be"},
    {"module-config", "softhsm2.conf", "not an absolute path"},
    {"module-config", "", "not an absolute path"},
    {"stats", "stats", "not an absolute path"},
    {"stats", "", "not an absolute path"},
    {"location", "", "not 1 to 64 of"},
    {"location", "a b", "not 1 to 64 of"},
    {"location", "a/b", "not 1 to 64 of"},
    {"location", std::string(65, 'a'), "not 1 to 64 of"},
    {"attach", "", "not one of yes, no, force"},
    {"attach", "on", "not one of yes, no, force"},
    {"attach", "Yes", "not one of yes, no, force"},
    {"attach", "1", "not one of yes, no, force"},
    {"audience", "", "not a text of 1 to 1024 bytes"},
    {"audience", "only:", "not a text of 1 to 1024 bytes"},
    {"audience", std::string(1025, 'a'), "not a text of 1 to 1024 bytes"},
    {"max-lineage", "", "from 1 to 2592000"},
    {"max-lineage", "0", "from 1 to 2592000"},
    {"max-lineage", "-1", "from 1 to 2592000"},
    {"max-lineage", "2592001", "from 1 to 2592000"},
    {"max-lineage", "24h", "from 1 to 2592000"},
    {"max-lineage", " 5", "from 1 to 2592000"},
    {"max-lineage", "+5", "from 1 to 2592000"},
    {"max-lineage", "0x10", "from 1 to 2592000"},
    {"max-lineage", "99999999999999999999", "from 1 to 2592000"},
    {"early-data", "", "neither yes nor no"},
    {"early-data", "true", "neither yes nor no"},
    {"early-data", "YES", "neither yes nor no"},
    {"early-data", "0", "neither yes nor no"},
    {"stale-epochs", "", "from 0 to 48"},
    {"stale-epochs", "49", "from 0 to 48"},
    {"stale-epochs", "-0", "from 0 to 48"},
    {"stale-epochs", "4294967296", "from 0 to 48"},
    {"max-processes", "0", "from 1 to 1048576"},
    {"max-processes", "1048577", "from 1 to 1048576"},
    {"max-processes", "many", "from 1 to 1048576"},
};

}  // namespace

BOOST_DATA_TEST_CASE(a_wrong_value_names_its_key, boost::unit_test::data::make(wrongs)) {
    const std::string text = refusal(with(sample.key, sample.value));
    BOOST_TEST(text.starts_with(sample.key));
    BOOST_TEST(has(text, sample.reason));
}

BOOST_AUTO_TEST_CASE(a_pin_is_refused_and_not_repeated) {
    for (const std::string& token :
         {uri + "&pin-value=4711", std::string("pkcs11:pin-value=4711?module-path=/m.so"),
          std::string("pkcs11:token=a?pin-source=4711")}) {
        const std::string text = refusal(with("token", token));
        BOOST_TEST(text.starts_with("token: "));
        BOOST_TEST(!has(text, "4711"));
    }
}
