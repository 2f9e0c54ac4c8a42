// What enrolling and retiring make of a list.
#define BOOST_TEST_MODULE fleet_list_changes
#include "daemon/fleet/list_changes.hpp"
#include "tests/fixtures/small_fleet.hpp"

#include <boost/test/unit_test.hpp>

using namespace stek::fleet;
using namespace stek::tests;

namespace {

EnrolmentRequest ask(const std::string& name, Role role = Role::vault) {
    return {role, name, role == Role::origin ? "" : "fra1", memory_pair().point,
            role == Role::origin ? Point{} : memory_pair().point};
}

}  // namespace

BOOST_AUTO_TEST_CASE(numbers_rise_and_are_given_once) {
    PartyList list;
    const auto first = ask("v1"), second = ask("o1", Role::origin);
    list = with_party(list, first, 1000).value();
    list = with_party(list, second, 2000).value();
    BOOST_TEST(list.serial == 2U);
    BOOST_TEST(list.signed_at == 2000);
    BOOST_TEST(list.find("v1")->number == 1U);
    BOOST_TEST(list.find("o1")->number == 2U);
    BOOST_TEST(!with_party(list, first, 3000));
    list = with_retired(list, "o1", 4000).value();
    BOOST_TEST((list.find("o1")->standing == Standing::retired));
    BOOST_TEST((list.find("v1")->standing == Standing::active));
    BOOST_TEST(!with_retired(list, "o1", 5000));
    list = with_party(list, ask("v2"), 6000).value();
    BOOST_TEST(list.find("v2")->number == 3U);
    BOOST_TEST((decode_list(encode_list(list)) == list));
}

BOOST_AUTO_TEST_CASE(what_is_refused) {
    PartyList list;
    const auto request = ask("v1");
    list = with_party(list, request, 1000).value();
    for (auto other : {ask("v1"), ask("v1", Role::origin)})
        BOOST_CHECK_THROW(with_party(list, other, 2000), EnrolmentRefused);
    auto moved = request;
    moved.location = "ams1";
    BOOST_CHECK_THROW(with_party(list, moved, 2000), EnrolmentRefused);
    auto resealed = request;
    resealed.sealing_key = memory_pair().point;
    BOOST_CHECK_THROW(with_party(list, resealed, 2000), EnrolmentRefused);
    BOOST_CHECK_THROW(with_retired(list, "v2", 2000), EnrolmentRefused);
    for (const auto* name : {"", "v 1", "v1\n", "\033[2J"})
        BOOST_CHECK_EXCEPTION(with_retired(list, name, 2000), EnrolmentRefused, [](const auto& error) {
            return std::string(error.what()).starts_with("a party's name is");
        });
    const auto retired = with_retired(list, "v1", 2000).value();
    BOOST_CHECK_THROW(with_party(retired, request, 3000), EnrolmentRefused);
    BOOST_CHECK_THROW(refuse_foreign_machine(request, "fra1"), EnrolmentRefused);
    BOOST_CHECK_THROW(refuse_foreign_machine(ask("m1", Role::machine), "ams1"), EnrolmentRefused);
    BOOST_CHECK_NO_THROW(refuse_foreign_machine(ask("m1", Role::machine), "fra1"));
}

BOOST_AUTO_TEST_CASE(a_full_list) {
    PartyList list;
    list.serial = 1;
    Party party = with_party({}, ask("v0"), 1000)->parties.front();
    for (PartyNumber number = 1; number <= PartyList::max_parties; ++number) {
        party.number = number;
        party.name = "v" + std::to_string(number);
        list.parties.push_back(party);
    }
    BOOST_CHECK_NO_THROW(encode_list(list));
    BOOST_CHECK_THROW(with_party(list, ask("one-more"), 2000), EnrolmentRefused);
    BOOST_TEST(with_retired(list, "v7900", 2000)->serial == 2U);
}
