// What a vault keeps of the records that its engine names.
#define BOOST_TEST_MODULE record_ledger
#include "daemon/fleet/record_ledger.hpp"

#include "daemon/fleet/engine_keys.hpp"

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::fleet;
using daemon::KeyId;
using State = RecordLedger::State;

namespace {

std::vector<Party> machines_of(std::initializer_list<const char*> names) {
    std::vector<Party> machines;
    for (const char* name : names) {
        Party machine;
        machine.number = static_cast<PartyNumber>(machines.size() + 1);
        machine.role = Role::machine;
        machine.name = name;
        machines.push_back(machine);
    }
    return machines;
}

struct Fixture {
    bool begin(const std::vector<std::string>& names) {
        return ledger.begin_run(premises, machines, keys, names);
    }
    State state(KeyId key, std::size_t machine) { return ledger.of(key, machine).state; }
    void found_good(KeyId key, std::size_t machine) {
        RecordLedger::Mark mark{};
        mark.fill(7);
        ledger.of(key, machine) = {State::good, mark};
    }

    RecordLedger ledger;
    RecordLedger::Premises premises{1, {1}, 100};
    std::vector<Party> machines = machines_of({"web-2", "web-10", "web-1"});  // not in order of their names
    const KeyId now{100, 0}, next{101, 3};
    std::vector<KeyId> keys{now, next};
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_name_is_found_under_its_key_at_its_machine, Fixture) {
    BOOST_TEST(begin({record_key("web-1", now), record_key("web-10", next)}));
    for (const auto key : keys)
        for (std::size_t at = 0; at < machines.size(); ++at) {
            const bool is_there = (key == now && at == 2) || (key == next && at == 1);
            BOOST_TEST((state(key, at) == (is_there ? State::unread : State::absent)));
        }
}

BOOST_FIXTURE_TEST_CASE(other_names_leave_nothing, Fixture) {
    begin({"record.web-1", "record.web-1.100", "record.web-1.100.00", "record.web-1.0100.0", "record..100.0",
           "record.web-9.100.0", "record.web.100.0", "record.web-11.100.0", "pair.web-1.100", "machines", "",
           record_key("web-1", {100, 1}), record_key("web-1", {102, 0})});
    for (const auto key : keys)
        for (std::size_t at = 0; at < machines.size(); ++at)
            BOOST_TEST((state(key, at) == State::absent));
    BOOST_CHECK_THROW((void)ledger.of({100, 1}, 2), std::out_of_range);
    BOOST_CHECK_THROW((void)ledger.of(now, 3), std::out_of_range);
}

BOOST_FIXTURE_TEST_CASE(what_was_found_holds_while_it_is_there, Fixture) {
    begin({record_key("web-1", now)});
    found_good(now, 2);
    BOOST_TEST(!begin({record_key("web-1", now), record_key("web-2", now)}));
    BOOST_TEST((state(now, 2) == State::good));
    BOOST_TEST(ledger.of(now, 2).mark.front() == 7);
    BOOST_TEST((state(now, 0) == State::unread));

    // An engine that has lost it may bring back another one.
    begin({});
    BOOST_TEST((state(now, 2) == State::absent));
    begin({record_key("web-1", now)});
    BOOST_TEST((state(now, 2) == State::unread));
    BOOST_TEST(ledger.of(now, 2).mark.front() == 0);
}

BOOST_FIXTURE_TEST_CASE(with_other_premises_all_is_read_anew, Fixture) {
    const auto names = {record_key("web-1", now)};
    using Premises = RecordLedger::Premises;
    for (const auto& other : {Premises{2, {1}, 100}, Premises{1, {2}, 100}, Premises{1, {1}, 101}}) {
        premises = {1, {1}, 100};
        begin(names);
        found_good(now, 2);
        premises = other;
        BOOST_TEST(begin(names));
        BOOST_TEST((state(now, 2) == State::unread));
    }
}

BOOST_FIXTURE_TEST_CASE(a_list_of_other_machines_is_another_order, Fixture) {
    begin({record_key("web-1", now)});
    machines = machines_of({"web-0", "web-1", "web-10", "web-2"});
    premises.machines = {2};
    begin({record_key("web-1", now)});
    BOOST_TEST((state(now, 1) == State::unread));
    BOOST_TEST((state(now, 2) == State::absent));
}

BOOST_FIXTURE_TEST_CASE(a_key_that_is_of_no_interest_any_more_is_forgotten, Fixture) {
    begin({record_key("web-1", now)});
    found_good(now, 2);
    keys = {next};
    begin({record_key("web-1", now)});
    BOOST_CHECK_THROW((void)ledger.of(now, 2), std::out_of_range);
    keys = {now, next};
    begin({record_key("web-1", now)});
    BOOST_TEST((state(now, 2) == State::unread));
}

BOOST_FIXTURE_TEST_CASE(without_machines_there_is_nothing, Fixture) {
    machines.clear();
    begin({record_key("web-1", now)});
    BOOST_CHECK_THROW((void)ledger.of(now, 0), std::out_of_range);
}
