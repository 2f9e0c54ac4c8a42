// A ticket token that is lost is made anew at once: it holds nothing that cannot be made again.
#define BOOST_TEST_MODULE stekd_remake
#include "tests/token/stekd_instance.hpp"

#include <algorithm>

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::test;

namespace {

bool has_another_ring(const StekdInstance& instance, const std::string& serial) {
    const auto ring = instance.ring();
    return ring && ring->token_serial != serial && sealing_record(*ring, std::time(nullptr), 2) != nullptr;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_lost_ticket_token_is_made_anew) {
    StekdInstance instance(2, 10);
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    const auto before = instance.ring();
    BOOST_REQUIRE(before);
    const auto lost = instance.token_directory(before->token_serial);
    BOOST_REQUIRE(!lost.empty());
    // stekd sees the first of the files go, and may take the rest away before this does.
    std::error_code ignored;
    std::filesystem::remove_all(lost, ignored);
    BOOST_REQUIRE(eventually([&] { return has_another_ring(instance, before->token_serial); },
                             std::chrono::seconds(90)));
    BOOST_TEST(instance.says("the ticket token is lost and made anew"));
    const auto after = instance.ring();
    // A new key of the very epoch has a name of its own: no K is made twice.
    for (const auto& record : after->records) {
        BOOST_TEST(std::ranges::none_of(before->records,
                                        [&](const auto& old) { return old->name == record->name; }));
    }
    BOOST_TEST(!instance.token_directory(after->token_serial).empty());
    using std::filesystem::perms;
    for (const auto* pin : {"ticket.pin", "ticket.so-pin"}) {
        const auto mode = std::filesystem::status(instance.directory / "pins" / pin).permissions();
        BOOST_TEST((mode == (perms::owner_read | perms::owner_write)));
    }
}

// Two foreign ones of its label are there: which to use, or that one is to be made, is not for stekd to say.
BOOST_AUTO_TEST_CASE(beside_others_of_its_label_it_is_not_and_nobody_says_so) {
    StekdInstance instance;
    instance.start();
    BOOST_REQUIRE(instance.says("ready"));
    const auto lost = instance.token_directory(instance.ring()->token_serial);
    const auto pin = read_file(instance.directory / "pins/ticket.pin");
    for (int foreign = 0; foreign < 2; ++foreign) {
        const auto made = run({"softhsm2-util", "--init-token", "--free", "--label", "stekd-ticket", "--pin",
                               "1234", "--so-pin", "12345678"},
                              {{"SOFTHSM2_CONF", instance.directory / "softhsm2.conf"}});
        BOOST_REQUIRE_MESSAGE(made.exit_code == 0, made.output);
    }
    std::error_code ignored;
    std::filesystem::remove_all(lost, ignored);
    BOOST_TEST(instance.says("match pkcs11:token=stekd-ticket"));
    BOOST_TEST(instance.says("trying again"));
    BOOST_TEST(instance.log().find("made anew") == std::string::npos, instance.log());
    BOOST_TEST(read_file(instance.directory / "pins/ticket.pin") == pin);
}

BOOST_AUTO_TEST_CASE(without_a_place_for_its_pins_it_is_not) {
    StekdInstance instance(2, 10);
    instance.edit("remake_pins =", "# remake_pins =");
    BOOST_REQUIRE(instance.once().exit_code == 0);
    const auto ring = instance.ring();
    BOOST_REQUIRE(ring);
    std::filesystem::remove_all(instance.token_directory(ring->token_serial));
    const auto outcome = instance.once();
    BOOST_TEST(outcome.exit_code == 75);
    BOOST_TEST(outcome.output.find("matches pkcs11:token=stekd-ticket") != std::string::npos, outcome.output);
}
