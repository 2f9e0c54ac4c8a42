// What enrolling and retiring make of a list, and how it comes into force where several sign it.
#define BOOST_TEST_MODULE fleet_list_changes
#include "daemon/fleet/list_changes.hpp"
#include "memory_engine.hpp"
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

namespace {

using Octets = std::vector<std::uint8_t>;

/// Two vaults of one location, each with what it has seen of the lists.
struct TwoVaults {
    TwoVaults() {
        fleet.publish(engine);
        for (auto* lists : {&first, &second})
            lists->refresh(engine);
    }
    [[nodiscard]] static PartyList with_machine(const KnownLists& lists, const std::string& name) {
        return with_party(machines_or_first(lists, "fra1"), ask(name, Role::machine), 1000).value();
    }
    bool enrol(KnownLists& lists, const FleetMember& vault, const std::string& name) {
        const auto list = with_machine(lists, name);
        return issue_list(lists, engine, list, SmallFleet::sign_by(vault, list));
    }
    [[nodiscard]] Octets& in_engine(const std::string& key) {
        return engine.values[bucket::of_location("fra1")][key];
    }

    stek::test::Trap trap;
    stek::test::MemoryEngine engine{trap};
    SmallFleet fleet;
    FleetMember& v1 = fleet.add_vault("v1", "fra1");
    FleetMember& v2 = fleet.add_vault("v2", "fra1");
    KnownLists first{{}, fleet.root(), "fra1"}, second{{}, fleet.root(), "fra1"};
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(of_two_vaults_at_the_same_instant_one_signs_and_the_other_after_it, TwoVaults) {
    BOOST_TEST(enrol(first, v1, "m1"));
    BOOST_TEST(!enrol(second, v2, "m2"));  // it has not looked meanwhile
    BOOST_TEST(second.machines()->serial == 1U);
    BOOST_TEST(second.machines()->find("m1") != nullptr);
    BOOST_TEST(enrol(second, v2, "m2"));
    first.refresh(engine);
    for (const auto* lists : {&first, &second}) {
        BOOST_TEST(lists->machines()->serial == 2U);
        BOOST_TEST(lists->machines()->find("m1") != nullptr);
        BOOST_TEST(lists->machines()->find("m2") != nullptr);
    }
}

BOOST_FIXTURE_TEST_CASE(who_is_slow_does_not_put_an_older_list_over_a_newer, TwoVaults) {
    const auto list = with_machine(first, "m1");
    BOOST_TEST(issue_list(first, engine, list, SmallFleet::sign_by(v1, list)));
    const auto older = in_engine("machines");
    second.refresh(engine);
    BOOST_TEST(enrol(second, v2, "m2"));
    const auto newer = in_engine("machines");
    store_list(first, engine, "fra1");
    BOOST_TEST((in_engine("machines") == newer));
    // And who comes by puts it right.
    in_engine("machines") = older;
    store_list(second, engine, "fra1");
    BOOST_TEST((in_engine("machines") == newer));
}

BOOST_FIXTURE_TEST_CASE(noise_in_the_place_of_a_claim_is_written_over, TwoVaults) {
    for (const auto& noise : {Octets{}, Octets{1, 2, 3}, Octets(stek::fleet::Engine::max_value + 1)}) {
        const auto serial = machines_or_first(first, "fra1").serial + 1;
        in_engine("machines." + std::to_string(serial)) = noise;
        BOOST_TEST(enrol(first, v1, "m" + std::to_string(serial)));
        BOOST_TEST(first.machines()->serial == serial);
    }
}

BOOST_FIXTURE_TEST_CASE(claims_do_not_pile_up, TwoVaults) {
    for (unsigned machine = 1; machine <= 3 * most_attempts_to_sign; ++machine)
        BOOST_TEST(enrol(first, v1, "m" + std::to_string(machine)));
    BOOST_TEST(engine.list(bucket::of_location("fra1"), "machines.").size() == most_attempts_to_sign);
}

// It is in force here: who is retired stays so.
BOOST_FIXTURE_TEST_CASE(an_engine_that_is_down_gets_the_list_later, TwoVaults) {
    BOOST_TEST(enrol(first, v1, "m1"));
    const auto list = with_retired(*first.machines(), "m1", 2000).value();
    engine.down = true;
    BOOST_CHECK_THROW(issue_list(first, engine, list, SmallFleet::sign_by(v1, list)), EngineError);
    BOOST_TEST((first.machines()->find("m1")->standing == Standing::retired));
    engine.down = false;
    store_list(first, engine, "fra1");
    second.refresh(engine);
    BOOST_TEST((*second.machines() == list));
}
