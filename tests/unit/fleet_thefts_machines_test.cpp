// What a thief gets who has vaults wrap keys to pairs of his own, or machines take keys of his own: as
// docs/threat-model.md says.
#define BOOST_TEST_MODULE fleet_thefts_machines
#include "daemon/fleet/list_changes.hpp"
#include "theft_scene.hpp"

#include <utility>

#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;

namespace {

/// Beside the machine whose keys are known, one that is real, whose token or list is the thief's affair.
struct MachineTheft : TheftScene {
    MachineTheft() { scene.publish_lists(); }
    /// The machine offers its pairs, its location answers, and the machine has not looked yet.
    template <class Act>
    void live_with(std::uint64_t epoch, const Act& between) {
        machine.run(at(epoch, 30));
        live(epoch, {&first, &second}, between);
    }
    SceneParty& web2 = scene.add_machine("web-2");
    MachineAtWork machine{scene, engine, trap, web2, workspace.subdirectory("state")};
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(pairs_that_a_machine_s_token_signs_get_its_location_s_keys, MachineTheft) {
    live_with(start, [] {});
    machine.run(at(start, 240));
    BOOST_TEST(machine.has({start + 3, 0}));
    const auto steal_pairs = [&](std::uint64_t epoch) {
        for (auto of = epoch - 1; of <= epoch + 3; ++of)
            scene.offer(web2, of, 0x99, thief_pair().spki);
    };
    const auto opens = [&](KeyId key) {
        const auto record = scene.record(vault1, web2, key);
        return record && thief_pair().unwrap(record->wrapped_key) == machine_keys.at(key);
    };
    live_with(start + 1, [&] { steal_pairs(start + 1); });
    BOOST_TEST(!opens({start, 0}));  // its chain key is gone
    for (auto epoch = start + 1; epoch <= start + 4; ++epoch)
        BOOST_TEST(opens({epoch, 0}));
    machine.run(at(start + 1, 240));
    BOOST_TEST(machine.has({start + 3, 0}));
    BOOST_TEST(!machine.has({start + 4, 0}));
    BOOST_TEST(machine.alarms().empty(), boost::test_tools::per_element());
    BOOST_TEST(first.alarms().empty(), boost::test_tools::per_element());
    BOOST_TEST(status(start + 1).problems.empty(), boost::test_tools::per_element());

    // The machine has put its own back.
    first.run(at(start + 1, 300));
    machine.run(at(start + 1, 360));
    BOOST_TEST(machine.has({start + 4, 0}));
    BOOST_TEST(!opens({start + 4, 0}));

    // Each time before the vaults look, for as long as the machine has keys ahead and longer.
    for (auto epoch = start + 2; epoch <= start + 5; ++epoch)
        live_with(epoch, [&] { steal_pairs(epoch); });
    machine.run(at(start + 5, 240));
    BOOST_TEST(opens({start + 5, 0}));
    BOOST_TEST(!machine.has({start + 5, 0}));

    scene.retire(web2);
    steal_pairs(start + 6);
    live(start + 6);
    BOOST_TEST(machine_keys.contains({start + 9, 0}));
    BOOST_TEST(!scene.record(vault1, web2, {start + 9, 0}).has_value());
}

namespace {

/// A vault and a machine that nobody but the root key's thief knows of.
class Intruders {
  public:
    explicit Intruders(TheftScene& scene)
        : vault{scene.scene.id(), Role::vault, "vault-9", scene_location, memory_key(), memory_key()},
          machine{scene.scene.id(), Role::machine, "web-9", scene_location, memory_key(), memory_key()},
          scene_(&scene) {}

    void enrol() {
        auto& engine = scene_->engine;
        KnownLists lists("", scene_->scene.root().point, scene_location);
        (void)lists.refresh(engine);
        const auto fleet = with_party(*lists.fleet(), vault.request(), 0).value();
        vault_number_ = fleet.parties.back().number;
        engine.put(bucket::fleet, KnownLists::fleet_key,
                   list_frame(vault.fleet, 0, scene_->scene.root().key.get(), fleet));
        const auto machines = with_party(*lists.machines(), machine.request(), 0).value();
        machine_number_ = machines.parties.back().number;
        engine.put(scene_->scene.bucket(), KnownLists::machines_key,
                   list_frame(vault.fleet, vault_number_, vault.signing.key.get(), machines));
    }
    /// For that epoch, two before and three after.
    void offer(std::uint64_t epoch) {
        for (auto of = epoch - 2; of <= epoch + 3; ++of) {
            MachinePair pair{machine_number_, scene_location, of, {}, OaepHash::sha1, thief_pair().spki};
            pair.pair.fill(0x99);
            scene_->engine.put(scene_->scene.bucket(), pair_key(machine.name, of),
                               machine.sign(Kind::pair, machine_number_, encode_pair(pair)));
            scene_->engine.put(bucket::pre_keys, pre_key_key(vault.name, of),
                               vault.sign(Kind::pre_key, vault_number_,
                                          encode_pre_key({vault_number_, of, memory_key().point})));
        }
    }
    /// Those of the location's keys that he has, by his pair; with their admission keys.
    [[nodiscard]] std::vector<KeyId> keys() const {
        std::vector<KeyId> found;
        auto& engine = scene_->engine;
        for (const auto& name : engine.list(scene_->scene.bucket(), records_of(machine.name))) {
            const auto record = decode_record(body_of(*engine.get(scene_->scene.bucket(), name)));
            SecretArray<admission_key_size> admission;
            open_admission_key(record, machine.fleet, machine.sealing->key.get(), machine.sealing->point,
                               admission);
            if (thief_pair().unwrap(record.wrapped_key) == scene_->machine_keys.at(record.key))
                found.push_back(record.key);
        }
        return found;
    }

    Identity vault, machine;

  private:
    TheftScene* scene_;
    PartyNumber vault_number_ = 0, machine_number_ = 0;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_root_key_enrols_a_machine_that_gets_the_keys_of_now_and_later, TheftScene) {
    live(start);
    live(start + 1);
    origin.origin.renew(at(start + 1, 300), hours);
    live(start + 2);
    BOOST_TEST(machine_keys.contains({start + 1, 0}));
    Intruders intruders(*this);
    intruders.enrol();
    intruders.offer(start + 2);
    first.run(at(start + 2, 300));
    second.run(at(start + 2, 300));
    // Also the one that only opens still, but none of an epoch that is over: its chain key is gone.
    const std::vector<KeyId> expected{
        {start + 2, 0}, {start + 2, 1}, {start + 3, 1}, {start + 4, 1}, {start + 5, 0}};
    BOOST_TEST((intruders.keys() == expected));

    const auto seen = status(start + 2);
    BOOST_TEST(seen.problems.empty(), boost::test_tools::per_element());
    BOOST_TEST(seen.locations.at(0).vaults.size() == 3U);
    BOOST_TEST(seen.locations.at(0).machines.size() == 2U);
    for (const auto* vault : {&first, &second})
        BOOST_TEST(vault->alarms().empty(), boost::test_tools::per_element());

    // Lists without these two end it, until he signs the next.
    scene.publish_lists();
    scene.publish_lists();
    intruders.offer(start + 3);
    live(start + 3);
    BOOST_TEST((intruders.keys().back() == KeyId{start + 5, 0}));
    intruders.enrol();
    intruders.offer(start + 3);
    first.run(at(start + 3, 300));
    BOOST_TEST((intruders.keys().back() == KeyId{start + 6, 0}));
}

namespace {

/// A key that no bundle is behind, for the machine's pair of that epoch, signed by that vault.
Octets forged_record(MachineTheft& scene, SceneParty& vault, KeyId key, std::uint8_t name) {
    const auto pair =
        decode_pair(body_of(*scene.engine.get(scene.scene.bucket(), pair_key("web-2", key.epoch))));
    MachineRecord record;
    record.location = scene_location;
    record.machine = scene.web2.entry.number;
    record.counter = 1'000'000;
    record.key = key;
    record.not_before = at(key.epoch, 0).wall;
    record.seal_until = at(key.epoch + 1, 0).wall;
    record.open_until = at(key.epoch + 3, 0).wall;
    record.name.fill(name);
    record.pair = pair.pair;
    record.wrapped_key = wrap(pair.public_key, Octets(32, name));
    SecretArray<admission_key_size> admission;
    seal_admission_key(record, scene.scene.id(), scene.web2.self.sealing->point, admission);
    return vault.self.sign(Kind::record, vault.entry.number, encode_record(record));
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_vault_s_token_signs_records_of_keys_that_no_bundle_is_behind, MachineTheft) {
    live_with(start, [] {});
    machine.run(at(start, 240));
    const KeyId key{start, 7}, later{start, 8};
    const auto put = [&](KeyId which, std::uint8_t name) {
        engine.put(scene.bucket(), record_key("web-2", which), forged_record(*this, vault1, which, name));
    };
    const auto sealing_name = [](const MachineAtWork& of, std::uint64_t second) {
        return sealing_record(*of.ticket.ring, at(start, second).wall, 0)->name.front();
    };
    put(key, 0xbb);
    machine.run(at(start, 300));
    BOOST_TEST(sealing_name(machine, 300) == 0xbb);
    BOOST_TEST(machine.alarms().empty(), boost::test_tools::per_element());
    for (auto* vault : {&first, &second}) {
        vault->run(at(start, 360));
        BOOST_TEST(vault->alarms().empty(), boost::test_tools::per_element());
    }
    BOOST_TEST(status(start).problems.empty(), boost::test_tools::per_element());

    const auto older = *engine.get(bucket::fleet, KnownLists::fleet_key);
    scene.retire(vault1);
    put(later, 0xcc);
    machine.run(at(start, 420));
    BOOST_TEST(sealing_name(machine, 420) == 0xbb);  // it has that one, until it is revoked
    BOOST_TEST(says(machine.alarms(), "who is retired"));
    second.location.revoke({key}, at(start, 480), hours);
    machine.run(at(start, 540));
    BOOST_TEST(!machine.has(key));

    // A machine that has lost its state directory, and is shown the list from before.
    engine.put(bucket::fleet, KnownLists::fleet_key, older);
    MachineAtWork anew(scene, engine, trap, web2, workspace.subdirectory("state"));
    anew.run(at(start, 600));
    put(later, 0xcc);
    anew.run(at(start, 660));
    BOOST_TEST(sealing_name(anew, 660) == 0xcc);
    BOOST_TEST(!machine.has(later));
}

// --- a token, and nothing to write to ---

namespace {

/// The keys of shares and of records that a P-256 key opens, of all that is in the engine.
struct Opened {
    Opened(TheftScene& scene, const TokenKey& key) {
        for (const auto& [id, frame] : scene.bundles)
            try_shares(scene, frame, key);
        auto& engine = scene.engine;
        for (const auto& name : engine.list(scene.scene.bucket(), all_records))
            try_record(scene, decode_record(body_of(*engine.get(scene.scene.bucket(), name))), key);
    }
    void try_shares(const TheftScene& scene, Bytes frame, const TokenKey& key) {
        const auto signer = peek_frame(frame, Kind::bundle, scene.scene.id()).signer;
        const auto bundle = decode_bundle(body_of(frame));
        for (const auto& share : bundle.shares)
            try {
                HourlyKey hourly;
                open_share(bundle, share, scene.scene.id(), signer, key.key.get(), key.point, hourly);
                shares.push_back(bundle.key);
            } catch (const hpke::Error&) {
            }
    }
    void try_record(const TheftScene& scene, const MachineRecord& record, const TokenKey& key) {
        try {
            SecretArray<admission_key_size> admission;
            open_admission_key(record, scene.scene.id(), key.key.get(), key.point, admission);
            records[record.machine].push_back(record.key);
        } catch (const hpke::Error&) {
        }
    }
    [[nodiscard]] bool nothing() const { return shares.empty() && records.empty(); }

    std::vector<KeyId> shares;
    std::map<PartyNumber, std::vector<KeyId>> records;
};

std::vector<KeyId> first_keys(std::uint64_t first, std::uint64_t last) {
    std::vector<KeyId> keys;
    for (const auto epoch : from_to(first, last))
        keys.push_back({epoch, 0});
    return keys;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_root_s_and_an_origin_s_token_open_nothing_that_is_there, MachineTheft) {
    live_with(start, [] {});
    live_with(start + 1, [] {});
    for (const TokenKey* key :
         {&scene.root(), &std::as_const(origin1.self.signing), &std::as_const(origin2.self.signing)})
        BOOST_TEST(Opened(*this, *key).nothing());
    // Those for whom it is do.
    const auto pre_key = first.token.pre_key(start + 2);
    const Opened by_vault(*this, *pre_key), by_machine(*this, *web2.self.sealing);
    BOOST_TEST((by_vault.shares == first_keys(start + 2, start + 2)));
    BOOST_TEST((by_machine.records.at(web2.entry.number) == first_keys(start, start + 4)));
}

BOOST_FIXTURE_TEST_CASE(a_machine_s_own_token_opens_its_admission_keys_and_no_key, MachineTheft) {
    live_with(start, [] {});
    machine.run(at(start, 240));
    BOOST_TEST(Opened(*this, web2.self.signing).nothing());
    const Opened found(*this, *web2.self.sealing);
    BOOST_TEST(found.shares.empty());
    BOOST_TEST(found.records.size() == 1U);  // the other machine's records are closed to it
    BOOST_TEST((found.records.at(web2.entry.number) == first_keys(start, start + 3)));
    // They are wrapped to pairs of the ticket token, which is another one: there the machine has them.
    for (const auto& key : found.records.at(web2.entry.number)) {
        BOOST_TEST(machine.has(key));
        BOOST_TEST(thief_pair().unwrap(scene.record(vault1, web2, key)->wrapped_key).empty());
    }
}
