// A fleet of three locations with stock nginx on each machine: tickets resume where they are from, on any
// machine and whichever vault or origin is down; and what a thief can take at one location opens nothing of
// another's.
#define BOOST_TEST_MODULE fleet_servers
#include "daemon/fleet/engine_keys.hpp"
#include "tests/fleet/fleet.hpp"
#include "tests/fleet/thief.hpp"

#include <algorithm>
#include <ctime>
#include <iostream>
#include <set>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;
using test::eventually;

namespace {

constexpr unsigned period = 6, session_timeout = 180;  // seconds

/// Made once for the program. Everybody works; and a thief has been at two of the locations.
struct Scene {
    Scene();
    ~Scene();

    void take_tickets();
    /// Their stekd rest meanwhile.
    [[nodiscard]] std::vector<std::string> rob(const Site& site);

    Fleet fleet{period,
                session_timeout,
                {"o1", "o2"},
                {{"fra1", {"fra1-v1", "fra1-v2"}, {"fra1-m1", "fra1-m2"}},
                 {"ams1", {"ams1-v1"}, {"ams1-m1", "ams1-m2"}},
                 {"lon1", {"lon1-v1"}, {"lon1-m1", "lon1-m2"}}}};
    std::vector<std::string> of_fra1, of_ams1;  ///< what was stolen
    Prey ams1{"ams1", fleet.root()}, fra1{"fra1", fleet.root()};
    std::uint64_t stolen_at = 0;  ///< epoch
};

Scene* current = nullptr;

Scene& scene() {
    return *current;
}

Scene::Scene() {
    current = this;
    fleet.start_all();
    BOOST_TEST_REQUIRE(eventually([&] { return fleet.all_well(); }, patience), fleet.logs());
    fleet.start_servers();
    take_tickets();
    // There shall be something that is past.
    const auto first = fleet.newest_bundle();
    BOOST_TEST_REQUIRE(eventually([&] { return fleet.newest_bundle() > first + 1; }, patience), fleet.logs());
    of_fra1 = rob(fleet.site("fra1"));
    of_ams1 = rob(fleet.site("ams1"));
    stolen_at = fleet.epoch_now();
    ams1.look(*fleet.open_engine());
    fra1.look(*fleet.open_engine());
}

Scene::~Scene() {
    current = nullptr;
}

void Scene::take_tickets() {
    for (const auto& machine : fleet.site("ams1").machines)
        for (const int version : versions)
            ams1.add_ticket(fleet.connect(machine, version).ticket);
}

std::vector<std::string> Scene::rob(const Site& site) {
    auto parties = site.vaults;
    parties.insert(parties.end(), site.machines.begin(), site.machines.end());
    for (const auto& party : parties)
        fleet.stop(party);
    std::vector<std::string> stolen;
    for (const auto& party : parties)
        stolen.push_back(fleet.steal(party, fleet.in("stolen")));
    for (const auto& party : parties)
        fleet.start(party);
    return stolen;
}

BOOST_TEST_GLOBAL_FIXTURE(Scene);

/// A fresh ticket of each machine of the location resumes on each.
void check_resumption(const Site& site) {
    for (const auto& from : site.machines)
        for (const auto& to : site.machines)
            for (const int version : versions)
                BOOST_TEST(scene().fleet.resumes(from, to, version), from << " to " << to);
}

struct SignedRecord {
    MachineRecord record;
    std::string vault;
};

/// The one in the engine, of a machine of fra1.
std::optional<SignedRecord> record_of(const std::string& machine, KeyId key) {
    const auto frame =
        scene().fleet.open_engine()->get(bucket::of_location("fra1"), record_key(machine, key));
    if (!frame)
        return {};
    const auto lists = scene().fleet.lists("fra1");
    const Party* signer = nullptr;
    const auto record = decode_record(lists.open(*frame, Kind::record, Role::vault, "fra1", signer));
    return SignedRecord{record, signer->name};
}

/// By key; each machine of the location has the same.
std::map<KeyId, KeyName> names_at(const Site& site) {
    std::map<KeyId, KeyName> names;
    for (const auto& machine : site.machines) {
        const auto ring = scene().fleet.ring(machine);
        for (const auto& record : ring->records) {
            const auto& name = names.try_emplace({record->epoch, record->revision}, record->name);
            BOOST_TEST((name.first->second == record->name), machine << " has another key for an epoch");
        }
    }
    return names;
}

/// So many epochs have come since the theft that no pre-key of then is of any use.
void let_epochs_pass() {
    auto& fleet = scene().fleet;
    const auto far = scene().stolen_at + 4 + 3;
    BOOST_TEST_REQUIRE(eventually([&] { return fleet.newest_bundle() >= far; }, patience), fleet.logs());
    for (const auto& machine : fleet.site("ams1").machines)
        BOOST_TEST_REQUIRE(eventually([&] { return fleet.newest_epoch(machine) >= far; }, patience),
                           fleet.logs());
    scene().take_tickets();
    scene().ams1.look(*fleet.open_engine());
    scene().fra1.look(*fleet.open_engine());
}

/// Everything was tried on everything.
void check_tries(const Haul& haul, const Prey& prey) {
    BOOST_TEST(haul.shares.made == haul.hpke_keys * prey.shares());
    BOOST_TEST(haul.admission_keys.made == haul.hpke_keys * prey.records.size());
    BOOST_TEST(haul.wrapped_keys.made == haul.pairs * prey.records.size());
    BOOST_TEST(haul.tickets.made == haul.steks * prey.tickets.size());
    BOOST_TEST(haul.names.made == haul.derived);
    BOOST_TEST(prey.bundles.begin()->first.epoch < scene().stolen_at);
    BOOST_TEST(prey.bundles.rbegin()->first.epoch > haul.last_pre_key);
    BOOST_TEST(haul.derived > 0U);
    BOOST_TEST(haul.steks > haul.derived);
}

void tell(const char* whose, const Haul& haul) {
    const auto of = [](const Tries& tries) {
        return std::to_string(tries.opened) + " of " + std::to_string(tries.made);
    };
    std::cout << whose << ": opened shares " << of(haul.shares) << ", admission keys "
              << of(haul.admission_keys) << ", wrapped keys " << of(haul.wrapped_keys) << ", names "
              << of(haul.names) << ", tickets " << of(haul.tickets) << std::endl;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_ticket_resumes_at_its_location_and_at_no_other) {
    auto& fleet = scene().fleet;
    for (const auto& from : fleet.sites())
        for (const auto& to : fleet.sites())
            for (const auto& first : from.machines)
                for (const auto& second : to.machines)
                    for (const int version : versions)
                        BOOST_TEST(fleet.resumes(first, second, version) == (from.name == to.name),
                                   first << " to " << second);
}

BOOST_AUTO_TEST_CASE(both_vaults_of_a_location_arrive_at_the_same_key) {
    auto& fleet = scene().fleet;
    const auto& vaults = fleet.site("fra1").vaults;
    for (const auto& vault : vaults)
        BOOST_TEST_REQUIRE(fleet.runs(vault), fleet.log(vault));
    for (const auto& alone : vaults) {
        const auto& other = alone == vaults.front() ? vaults.back() : vaults.front();
        // Made by the other one, which then stops; what is lost is made again.
        fleet.stop(alone);
        fleet.expect_new_keys({"fra1-m1"});
        const KeyId key{fleet.newest_epoch("fra1-m1"), 0};
        const auto before = record_of("fra1-m1", key);
        BOOST_REQUIRE(before);
        BOOST_TEST(before->vault == other);
        fleet.stop(other);
        fleet.open_engine()->erase(bucket::of_location("fra1"), record_key("fra1-m1", key));
        fleet.start(alone);
        BOOST_TEST_REQUIRE(eventually([&] { return record_of("fra1-m1", key).has_value(); }, patience),
                           fleet.log(alone));
        const auto after = record_of("fra1-m1", key);
        BOOST_TEST(after->vault == alone);
        BOOST_TEST((after->record.name == before->record.name));
        fleet.start(other);
    }
}

BOOST_DATA_TEST_CASE(keys_go_on_with_either_vault, boost::unit_test::data::make({0, 1}), which) {
    auto& fleet = scene().fleet;
    const auto& site = fleet.site("fra1");
    const auto& vault = site.vaults[static_cast<std::size_t>(which)];
    fleet.stop(vault);
    fleet.expect_new_keys(site.machines);
    check_resumption(site);
    fleet.start(vault);
}

BOOST_DATA_TEST_CASE(keys_go_on_with_either_origin, boost::unit_test::data::make({"o1", "o2"}), origin) {
    auto& fleet = scene().fleet;
    fleet.stop(origin);
    fleet.expect_new_keys(fleet.machines());
    for (const auto& site : fleet.sites())
        check_resumption(site);
    fleet.start(origin);
}

BOOST_AUTO_TEST_CASE(old_tickets_resume_after_a_rotation) {
    auto& fleet = scene().fleet;
    std::map<std::string, std::vector<test::Connection>> old;
    for (const auto& machine : fleet.machines())
        for (const int version : versions)
            old[machine].push_back(fleet.connect(machine, version));
    const auto then = fleet.epoch_now();
    BOOST_TEST_REQUIRE(eventually([&] { return fleet.epoch_now() > then + 1 && fleet.all_well(); }, patience),
                       fleet.logs());
    for (const auto& site : fleet.sites())
        for (const auto& from : site.machines)
            for (const auto& to : site.machines)
                for (const auto& first : old[from])
                    BOOST_TEST(fleet.connect(to, first.version, first.session).reused, from << " to " << to);
}

BOOST_AUTO_TEST_CASE(the_machines_of_a_location_have_the_same_keys_and_no_other_has) {
    auto& fleet = scene().fleet;
    std::set<KeyName> all;
    std::size_t keys = 0;
    for (const auto& site : fleet.sites()) {
        const auto names = names_at(site);
        BOOST_TEST(names.size() >= 4U);
        keys += names.size();
        for (const auto& [key, name] : names)
            all.insert(name);
    }
    BOOST_TEST(all.size() == keys);
    // From now on there is one key for each epoch on both.
    for (const auto& site : fleet.sites())
        for (const auto& machine : site.machines)
            for (const auto& other : site.machines)
                BOOST_TEST(eventually(
                               [&] {
                                   const auto mine = fleet.ring(machine), its = fleet.ring(other);
                                   const auto now = std::time(nullptr);
                                   return sealing_record(*mine, now, 0) != nullptr &&
                                          is_known(*its, sealing_record(*mine, now, 0)->name);
                               },
                               patience),
                           machine << " and " << other);
}

BOOST_AUTO_TEST_CASE(a_thief_of_a_location_opens_nothing_of_another) {
    let_epochs_pass();
    const auto& prey = scene().ams1;
    const auto haul = Thief(scene().of_fra1).rob(prey);
    tell("fra1 on ams1", haul);
    check_tries(haul, prey);
    // Two vaults with pre-keys, two machines.
    BOOST_TEST(haul.hpke_keys >= 2U * (1 + 1) + 2U);
    BOOST_TEST(haul.pairs >= 2U);
    for (const auto* tries :
         {&haul.shares, &haul.admission_keys, &haul.wrapped_keys, &haul.names, &haul.tickets}) {
        BOOST_TEST(tries->made > 0U);
        BOOST_TEST(tries->opened == 0U);
    }
}

// Else the above would show nothing.
BOOST_AUTO_TEST_CASE(the_same_thief_opens_what_is_the_locations_own) {
    let_epochs_pass();
    const auto& prey = scene().ams1;
    const auto haul = Thief(scene().of_ams1).rob(prey);
    tell("ams1 on ams1", haul);
    check_tries(haul, prey);
    for (const auto* tries :
         {&haul.shares, &haul.admission_keys, &haul.wrapped_keys, &haul.names, &haul.tickets})
        BOOST_TEST(tries->opened > 0U);
}

BOOST_AUTO_TEST_CASE(a_stolen_vault_opens_nothing_that_is_sealed_to_later_pre_keys) {
    let_epochs_pass();
    const auto& prey = scene().fra1;
    const auto haul = Thief({scene().of_fra1.front()}).rob(prey);
    tell("a vault of fra1 on fra1", haul);
    const auto lists = scene().fleet.lists();
    const auto* own = lists.fleet()->find("fra1-v1");
    BOOST_REQUIRE(own != nullptr);
    unsigned held = 0, later = 0;
    for (const auto& [key, seen] : prey.bundles) {
        const auto share = std::ranges::find(seen.bundle.shares, own->number, &SealedHourly::vault);
        BOOST_REQUIRE((share != seen.bundle.shares.end()));
        // Where no pre-key was at hand it is sealed to the long-lived key, which is stolen too.
        if (share->pre_key == 0)
            continue;
        const auto opened = haul.opened_shares.at(key);
        if (key.epoch > haul.last_pre_key) {
            ++later;
            BOOST_TEST(opened == 0U, "bundle " << bundle_key(key));
        } else {
            held += opened > 0 ? 1 : 0;
        }
    }
    BOOST_TEST(held > 0U);
    BOOST_TEST(later > 0U);
}
