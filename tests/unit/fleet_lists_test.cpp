// The lists that a party believes: signed by whom they have to be, never older than what was seen, there
// again after a restart and back in the engine after a loss.
#define BOOST_TEST_MODULE fleet_lists
#include "daemon/fleet/directory_engine.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "tests/fixtures/small_fleet.hpp"
#include "tests/fixtures/workspace.hpp"

#include <filesystem>
#include <memory>

#include <boost/test/unit_test.hpp>
#include <sys/stat.h>

namespace stek::fleet {
namespace {

namespace fs = std::filesystem;
using tests::FleetMember;
using tests::SmallFleet;
using Octets = std::vector<std::uint8_t>;

const std::string here = "fra1", machines_bucket = bucket::of_location(here);

struct Fixture {
    test::Workspace workspace{"fleet-lists"};
    fs::path root = workspace.subdirectory("engine"), state = workspace.subdirectory("state");
    std::unique_ptr<Engine> engine = make_directory_engine(root);
    SmallFleet fleet;
    FleetMember& origin = fleet.add_origin("origin-1");
    FleetMember& vault = fleet.add_vault("vault-1", here);
    FleetMember& other_vault = fleet.add_vault("vault-2", here);
    FleetMember& foreign_vault = fleet.add_vault("vault-3", "ams1");
    FleetMember& machine = fleet.add_machine("web-1", here);

    [[nodiscard]] KnownLists lists(const std::string& location = here) const {
        return {state, fleet.root(), location};
    }
    [[nodiscard]] Octets fleet_frame(std::uint64_t serial) const {
        return fleet.sign_by_root(fleet.fleet_list(serial));
    }
    [[nodiscard]] Octets machines_frame(const FleetMember& signer, std::uint64_t serial) const {
        return SmallFleet::sign_by(signer, fleet.machines_of(here, serial));
    }
    void put_fleet(Bytes frame) const { engine->put(bucket::fleet, "list", frame); }
    void put_machines(Bytes frame) const { engine->put(machines_bucket, "machines", frame); }
};

std::uint64_t serial(const PartyList* list) {
    return list == nullptr ? 0 : list->serial;
}

void check_refused(KnownLists& lists, const Octets& frame, const std::string& reason) {
    const auto fleet = serial(lists.fleet()), machines = serial(lists.machines());
    BOOST_CHECK_EXCEPTION(lists.offer(frame), FrameError, [&](const FrameError& error) {
        BOOST_TEST_INFO(error.what());
        return std::string(error.what()).find(reason) != std::string::npos;
    });
    BOOST_TEST(serial(lists.fleet()) == fleet);
    BOOST_TEST(serial(lists.machines()) == machines);
}

BOOST_FIXTURE_TEST_CASE(nothing_is_known_before_the_first_list, Fixture) {
    auto known = lists();
    BOOST_TEST(!known.refresh(*engine));
    BOOST_TEST(known.fleet() == nullptr);
    BOOST_TEST(known.machines() == nullptr);
    const Party* signer = nullptr;
    BOOST_CHECK_THROW((void)known.open(origin.sign(Kind::bundle, {}), Kind::bundle, Role::origin, "", signer),
                      FrameError);
    BOOST_TEST(engine->list(bucket::fleet, "").empty());
}

BOOST_FIXTURE_TEST_CASE(serials_rise, Fixture) {
    auto known = lists();
    for (const std::uint64_t next : {1U, 2U, 7U}) {
        put_fleet(fleet_frame(next));
        put_machines(machines_frame(vault, next));
        BOOST_TEST(known.refresh(*engine));
        BOOST_TEST(serial(known.fleet()) == next);
        BOOST_TEST(serial(known.machines()) == next);
        BOOST_TEST(!known.refresh(*engine));
    }
    BOOST_TEST((known.fleet()->find("vault-1") != nullptr));
    BOOST_TEST((known.machines()->find("web-1") != nullptr));
}

BOOST_FIXTURE_TEST_CASE(a_replay_is_not_taken, Fixture) {
    auto known = lists();
    const auto old_fleet = fleet_frame(1), old_machines = machines_frame(vault, 1);
    known.offer(old_fleet);
    known.offer(old_machines);
    known.offer(fleet_frame(3));
    known.offer(machines_frame(vault, 3));
    check_refused(known, old_fleet, "replay");
    check_refused(known, old_machines, "replay");
    put_fleet(old_fleet);
    put_machines(old_machines);
    BOOST_TEST(!known.refresh(*engine));
    BOOST_TEST(serial(known.fleet()) == 3U);
    auto restarted = lists();
    check_refused(restarted, old_fleet, "replay");
    check_refused(restarted, old_machines, "replay");
}

BOOST_FIXTURE_TEST_CASE(another_list_of_the_same_serial_is_not_taken, Fixture) {
    auto known = lists();
    const auto frame = fleet_frame(4);
    known.offer(frame);
    known.offer(frame);  // itself again is nothing new
    vault.entry.standing = Standing::retired;
    check_refused(known, fleet_frame(4), "replay");
    BOOST_TEST((known.fleet()->find("vault-1")->standing == Standing::active));
}

// Whatever order they are seen in, all come to one list.
BOOST_FIXTURE_TEST_CASE(of_two_vaults_that_signed_one_serial_the_lower_number_s_is_in_force, Fixture) {
    const auto low = machines_frame(vault, 2), high = machines_frame(other_vault, 2);
    const auto again = machines_frame(vault, 2);
    const auto& first = std::min(low, again);
    for (const auto& seen : {std::vector{low, high, again}, {high, again, low}, {again, low, high}}) {
        KnownLists known({}, fleet.root(), here);
        known.offer(fleet_frame(1));
        for (const auto& frame : seen) {
            try {
                known.offer(frame);
            } catch (const FrameError& error) {
                BOOST_TEST(std::string(error.what()).find("replay") != std::string::npos);
            }
        }
        BOOST_TEST((Octets(known.machines_frame().begin(), known.machines_frame().end()) == first));
        check_refused(known, machines_frame(other_vault, 1), "replay");
        known.offer(machines_frame(other_vault, 3));
    }
}

BOOST_FIXTURE_TEST_CASE(who_may_not_sign_is_not_believed, Fixture) {
    auto known = lists();
    check_refused(known, machines_frame(vault, 1), "no vault of this location");
    known.offer(fleet_frame(1));
    const auto as = [&](const FleetMember& signer, const PartyList& list) {
        return SmallFleet::sign_by(signer, list);
    };
    SmallFleet elsewhere;
    elsewhere.add_vault("vault-1", here);
    check_refused(known, elsewhere.sign_by_root(elsewhere.fleet_list(9)), "another fleet");
    check_refused(known, as(origin, fleet.fleet_list(9)), "no vault of this location");
    check_refused(known, as(vault, fleet.fleet_list(9)), "may not sign it");
    check_refused(known, as(foreign_vault, fleet.machines_of(here, 9)), "no vault of this location");
    check_refused(known, as(machine, fleet.machines_of(here, 9)), "no vault of this location");
    check_refused(known, as(vault, fleet.machines_of("ams1", 9)), "of location ams1");
    check_refused(known, fleet.sign_by_root(fleet.machines_of(here, 9)), "may not sign it");
    // Another's number over one's own signature.
    check_refused(
        known, other_vault.self.sign(Kind::list, vault.entry.number, encode_list(fleet.machines_of(here, 9))),
        "signature");
    auto damaged = fleet_frame(9);
    damaged[frame_head_size] ^= 1;
    check_refused(known, damaged, "signature");
}

BOOST_FIXTURE_TEST_CASE(a_location_does_not_matter_to_an_origin, Fixture) {
    auto known = lists("");
    put_fleet(fleet_frame(1));
    put_machines(machines_frame(vault, 1));
    BOOST_TEST(known.refresh(*engine));
    BOOST_TEST(known.machines() == nullptr);
    check_refused(known, machines_frame(vault, 1), "no vault of this location");
}

BOOST_FIXTURE_TEST_CASE(a_retired_vault_signs_no_more_but_what_it_signed_stays, Fixture) {
    auto known = lists();
    known.offer(fleet_frame(1));
    known.offer(machines_frame(vault, 1));
    vault.entry.standing = Standing::retired;
    known.offer(fleet_frame(2));
    check_refused(known, machines_frame(vault, 2), "retired");
    BOOST_TEST(serial(known.machines()) == 1U);
    auto restarted = lists();
    BOOST_TEST(serial(restarted.machines()) == 1U);
    restarted.offer(machines_frame(other_vault, 2));
    BOOST_TEST(serial(restarted.machines()) == 2U);
}

BOOST_FIXTURE_TEST_CASE(frames_are_opened_for_the_active_only, Fixture) {
    auto known = lists();
    known.offer(fleet_frame(1));
    known.offer(machines_frame(vault, 1));
    const Octets body{1, 2, 3};
    const auto opens = [&](const FleetMember& by, Kind kind, Role role, const std::string& location = "") {
        const Party* signer = nullptr;
        try {
            const auto frame = by.sign(kind, body);
            const Bytes opened = known.open(frame, kind, role, location, signer);
            return std::ranges::equal(opened, body) && signer->name == by.entry.name;
        } catch (const FrameError&) {
            return false;
        }
    };
    BOOST_TEST(opens(origin, Kind::bundle, Role::origin));
    BOOST_TEST(!opens(vault, Kind::bundle, Role::origin));
    BOOST_TEST(!opens(machine, Kind::bundle, Role::origin));
    BOOST_TEST(opens(vault, Kind::pre_key, Role::vault));
    BOOST_TEST(opens(foreign_vault, Kind::pre_key, Role::vault));
    BOOST_TEST(opens(vault, Kind::record, Role::vault, here));
    BOOST_TEST(!opens(foreign_vault, Kind::record, Role::vault, here));
    BOOST_TEST(opens(machine, Kind::pair, Role::machine));
    BOOST_TEST(!opens(vault, Kind::pair, Role::machine));
    origin.entry.standing = Standing::retired;
    known.offer(fleet_frame(2));
    BOOST_TEST(!opens(origin, Kind::bundle, Role::origin));
}

BOOST_FIXTURE_TEST_CASE(lists_survive_a_restart, Fixture) {
    {
        auto known = lists();
        known.offer(fleet_frame(5));
        known.offer(machines_frame(vault, 6));
    }
    const auto again = lists();
    BOOST_TEST(serial(again.fleet()) == 5U);
    BOOST_TEST(serial(again.machines()) == 6U);
    for (const char* file : {"fleet.list", "machines.list"})
        BOOST_TEST(
            (fs::status(state / file).permissions() == (fs::perms::owner_read | fs::perms::owner_write)));
    BOOST_TEST(std::distance(fs::directory_iterator(state), {}) == 2);
}

BOOST_FIXTURE_TEST_CASE(what_cannot_be_kept_is_not_believed, Fixture) {
    auto known = lists();
    known.offer(fleet_frame(1));
    fs::remove_all(state);
    BOOST_CHECK_THROW(known.offer(fleet_frame(2)), std::system_error);
    BOOST_TEST(serial(known.fleet()) == 1U);
}

BOOST_FIXTURE_TEST_CASE(a_damaged_file_is_passed_over, Fixture) {
    lists().offer(fleet_frame(5));
    const auto good = test::read_file(state / "fleet.list");
    std::vector<std::string> damages{"", "x", good.substr(0, good.size() / 2), good + "x",
                                     std::string(10 << 20, 'x')};
    damages.push_back(good);
    damages.back()[good.size() / 2] ^= 1;
    for (const auto& damage : damages) {
        test::write_file(state / "fleet.list", damage);
        auto known = lists();
        BOOST_TEST(known.fleet() == nullptr);
        known.offer(fleet_frame(5));
        BOOST_TEST(serial(lists().fleet()) == 5U);
    }
}

BOOST_FIXTURE_TEST_CASE(an_engine_that_lost_them_gets_them_back, Fixture) {
    auto known = lists();
    const auto fleets = fleet_frame(1), machines = machines_frame(vault, 1);
    known.offer(fleets);
    known.offer(machines);
    BOOST_TEST(!known.refresh(*engine));
    BOOST_TEST((engine->get(bucket::fleet, "list") == fleets));
    BOOST_TEST((engine->get(machines_bucket, "machines") == machines));
    fs::remove_all(root / bucket::fleet);
    fs::remove_all(root / machines_bucket);
    auto restarted = lists();
    BOOST_TEST(!restarted.refresh(*engine));
    BOOST_TEST((engine->get(bucket::fleet, "list") == fleets));
    BOOST_TEST((engine->get(machines_bucket, "machines") == machines));
}

BOOST_FIXTURE_TEST_CASE(noise_in_the_engine_changes_nothing, Fixture) {
    auto known = lists();
    known.offer(fleet_frame(2));
    known.offer(machines_frame(vault, 2));
    const auto good = fleet_frame(3);
    auto changed = good;
    changed.back() ^= 1;
    for (const Octets& noise : {Octets{}, Octets{0}, Octets(Engine::max_value, 0xff), changed,
                                Octets(good.begin(), good.end() - 1), machines_frame(foreign_vault, 9)}) {
        put_fleet(noise);
        put_machines(noise);
        BOOST_TEST(!known.refresh(*engine));
        BOOST_TEST(serial(known.fleet()) == 2U);
        BOOST_TEST(serial(known.machines()) == 2U);
    }
    put_fleet(good);
    BOOST_TEST(known.refresh(*engine));
    BOOST_TEST(serial(known.fleet()) == 3U);
}

BOOST_FIXTURE_TEST_CASE(ten_megabytes_of_noise_do_not_stop_the_other_list, Fixture) {
    auto known = lists();
    known.offer(fleet_frame(1));
    put_fleet({});
    fs::resize_file(root / bucket::fleet / "list", 10 << 20);
    put_machines(machines_frame(vault, 1));
    BOOST_TEST(known.refresh(*engine));
    BOOST_TEST(serial(known.fleet()) == 1U);
    BOOST_TEST(serial(known.machines()) == 1U);
    BOOST_CHECK_THROW(known.offer(Octets(10 << 20, 0)), FrameError);
}

}  // namespace
}  // namespace stek::fleet
