// A machine in miniature, with what is around it: an engine and a ticket token in memory, vaults that sign,
// and clocks that the test moves. Each call out of the machine may be made to fail.
#pragma once

#include "memory_engine.hpp"
#include "memory_ticket.hpp"
#include "tests/fixtures/workspace.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace stek::test {

using fleet::PartyNumber;

inline fleet::TokenKey new_key() {
    fleet::TokenKey made{hpke::make_key(), {}};
    made.point = hpke::point_of(made.key.get());
    return made;
}
inline fleet::Signer signer_of(const fleet::TokenKey& key) {
    return [&key](Bytes bytes) { return fleet::sign_with(key.key.get(), bytes); };
}

/// What of a key is the same wherever it is derived.
inline KeyName name_of_key(daemon::KeyId key) {
    KeyName name{};
    for (std::size_t i = 0; i < 8; ++i)
        name[i] = static_cast<std::uint8_t>(key.epoch >> 8 * i);
    name[8] = static_cast<std::uint8_t>(key.revision);
    name[9] = 0xaa;
    return name;
}
inline SecretArray<admission_key_size>& admission_key_of(daemon::KeyId key,
                                                         SecretArray<admission_key_size>& out) {
    std::ranges::fill(out.span(), static_cast<std::uint8_t>(7 * key.epoch + key.revision + 1));
    return out;
}

/// A vault of the machine's location, as the machine sees it.
struct TestVault {
    TestVault(PartyNumber number, std::string name) : number(number), name(std::move(name)) {}
    PartyNumber number = 0;
    std::string name;
    fleet::TokenKey signing = new_key(), sealing = new_key();
    std::uint64_t counter = 0;
    std::set<daemon::KeyId> revoked;  ///< that it derives no more
};

class MachineScene {
  public:
    static constexpr const char* location = "fra1";
    static constexpr std::int64_t begun = 1'800'000'000;  // an edge of each period that the tests have

    explicit MachineScene(daemon::Policy policy = {3600, 7200}) : policy(policy), workspace_("machine") {
        self.fleet = fleet::fleet_id_of(root.point);
        self.role = fleet::Role::machine;
        self.name = "web-1";
        self.location = location;
        self.signing = new_key();
        self.sealing = new_key();
        sign_fleet();
        sign_machines();
        start();
    }

    // --- who is in the fleet ---

    [[nodiscard]] fleet::Party party(PartyNumber number, fleet::Role role, const std::string& name,
                                     const fleet::TokenKey& signing, const fleet::TokenKey* sealing) const {
        fleet::Party made;
        made.number = number;
        made.role = role;
        made.standing = fleet::Standing::active;
        made.name = name;
        made.location = role == fleet::Role::origin ? "" : location;
        made.signing_key = signing.point;
        if (sealing != nullptr)
            made.sealing_key = sealing->point;
        return made;
    }
    /// The fleet's list: both vaults, one of another location, an origin.
    void sign_fleet(const std::function<void(fleet::PartyList&)>& change = {}) {
        fleet::PartyList list;
        list.serial = ++fleet_serial_;
        for (const auto& vault : vaults)
            list.parties.push_back(
                party(vault.number, fleet::Role::vault, vault.name, vault.signing, &vault.sealing));
        list.parties.push_back(
            party(3, fleet::Role::vault, "vault-elsewhere", elsewhere.signing, &elsewhere.sealing));
        list.parties.back().location = "ams1";
        list.parties.push_back(party(4, fleet::Role::origin, "origin", origin, nullptr));
        if (change)
            change(list);
        engine.values[fleet::bucket::fleet]["list"] =
            fleet::make_frame({fleet::Kind::list, self.fleet, 0}, encode_list(list), signer_of(root));
    }
    /// The location's list: the machine and one beside it.
    void sign_machines(const std::function<void(fleet::PartyList&)>& change = {}) {
        fleet::PartyList list;
        list.serial = ++machines_serial_;
        list.location = location;
        list.parties.push_back(party(own, fleet::Role::machine, self.name, self.signing, &*self.sealing));
        list.parties.push_back(party(8, fleet::Role::machine, "web-2", neighbour, &neighbour));
        if (change)
            change(list);
        values()["machines"] = fleet::make_frame({fleet::Kind::list, self.fleet, vaults[0].number},
                                                 encode_list(list), signer_of(vaults[0].signing));
    }

    // --- the machine ---

    /// A process begins, with what is durable.
    void start() {
        machine.reset();
        lists.emplace(workspace_.path().string(), root.point, location);
        machine.emplace(self, *lists, engine, ticket,
                        saved.empty() ? fleet::MachineMemory{} : fleet::decode_machine_memory(saved),
                        [this](const fleet::MachineMemory& memory) {
                            trap.step();
                            if (fails_to_save)
                                throw std::system_error(ENOSPC, std::generic_category(), "the memory");
                            saved = fleet::encode_memory(memory);
                        });
    }
    void run() { machine->run(now, policy, ticket.ring); }
    /// What it throws is said, not thrown.
    std::string try_run() {
        try {
            run();
        } catch (const std::exception& error) {
            return error.what();
        }
        return {};
    }
    /// Until the location has answered all.
    void settle() {
        run();
        serve();
        run();
    }
    void pass(std::int64_t seconds) {
        now.wall += seconds;
        now.boot += static_cast<std::uint64_t>(seconds);
        right_time += seconds;
    }
    void set_clock(std::int64_t seconds_off) { now.wall = right_time + seconds_off; }
    void reboot() {
        ticket.ring = nullptr;
        ticket.boot += "+";
        now.boot = 20;
        start();
    }

    // --- its location ---

    std::map<std::string, Value>& values() { return engine.values[fleet::bucket::of_location(location)]; }
    [[nodiscard]] std::uint64_t epoch() const { return policy.epoch_at(now.wall); }
    [[nodiscard]] std::uint64_t right_epoch() const { return policy.epoch_at(right_time); }

    /// The machine's offers, verified.
    std::vector<fleet::MachinePair> offers() {
        std::vector<fleet::MachinePair> found;
        for (const auto& [key, frame] : values())
            if (key.starts_with("pair.web-1.")) {
                found.push_back(fleet::decode_pair(
                    fleet::open_frame(frame, fleet::Kind::pair, self.fleet, self.signing.point)));
                if (key != "pair.web-1." + std::to_string(found.back().epoch))
                    throw std::logic_error("an offer under another's key: " + key);
            }
        return found;
    }
    std::optional<fleet::MachinePair> offer_for(std::uint64_t epoch) {
        for (const auto& offer : offers())
            if (offer.epoch == fleet::first_epoch_of_pair(epoch, policy))
                return offer;
        return std::nullopt;
    }

    /// Complete but for the admission key, which seal() adds once nothing is changed any more.
    fleet::MachineRecord unsealed(TestVault& vault, daemon::KeyId key, const PairId& pair) const {
        const auto period = static_cast<std::int64_t>(policy.period);
        fleet::MachineRecord record;
        record.location = location;
        record.machine = own;
        record.counter = ++vault.counter;
        record.key = key;
        record.not_before = static_cast<std::int64_t>(key.epoch) * period;
        record.seal_until = record.not_before + period;
        record.open_until = record.seal_until + static_cast<std::int64_t>(policy.session_timeout);
        record.period = policy.period;
        record.name = name_of_key(key);
        record.pair = pair;
        record.wrapped_key.assign(some_wrapped_size, static_cast<std::uint8_t>(key.epoch));
        return record;
    }
    fleet::MachineRecord& seal(fleet::MachineRecord& record) const {
        SecretArray<admission_key_size> admission_key;
        fleet::seal_admission_key(record, self.fleet, self.sealing->point,
                                  admission_key_of(record.key, admission_key));
        return record;
    }
    Value signed_by(const TestVault& vault, const fleet::MachineRecord& record) const {
        return fleet::make_frame({fleet::Kind::record, self.fleet, vault.number}, encode_record(record),
                                 signer_of(vault.signing));
    }
    Value record_frame(TestVault& vault, daemon::KeyId key, const PairId& pair) const {
        auto record = unsealed(vault, key, pair);
        return signed_by(vault, seal(record));
    }
    static std::string record_key(daemon::KeyId key) {
        return "record.web-1." + std::to_string(key.epoch) + "." + std::to_string(key.revision);
    }
    void leave(daemon::KeyId key, const Value& frame) { values()[record_key(key)] = frame; }
    const Value& left(daemon::KeyId key) { return values().at(record_key(key)); }

    /// The vault's run by a right clock: records for each pair that is offered, for this epoch and three
    /// more, unless one for that pair is there.
    void serve(std::size_t which = 0, std::uint32_t revision = 0) {
        auto& vault = vaults[which];
        const auto current = right_epoch();
        for (auto e = current; e <= current + 3; ++e) {
            const daemon::KeyId key{e, revision};
            const auto offer = offer_for(e);
            if (!offer || vault.revoked.contains(key) || is_served(key, offer->pair))
                continue;
            leave(key, record_frame(vault, key, offer->pair));
        }
    }
    void revoke(daemon::KeyId key, std::size_t which = 0) {
        auto& vault = vaults[which];
        auto record = unsealed(vault, key, PairId{});
        record.revoked = true;
        record.wrapped_key.clear();
        vault.revoked.insert(key);
        leave(key, signed_by(vault, record));
    }

    // --- what servers have ---

    [[nodiscard]] const RingRecord* record(daemon::KeyId key) const {
        if (ticket.ring == nullptr)
            return nullptr;
        for (const auto& held : ticket.ring->records)
            if (daemon::KeyId{held->epoch, held->revision} == key)
                return held.get();
        return nullptr;
    }
    /// As a server chooses; a key whose pair is not in the token is none.
    [[nodiscard]] const RingRecord* sealing() const {
        const auto* chosen = ticket.ring ? sealing_record(*ticket.ring, now.wall, 0) : nullptr;
        return chosen != nullptr && ticket.held.contains(chosen->pair) ? chosen : nullptr;
    }
    [[nodiscard]] std::size_t records() const { return ticket.ring ? ticket.ring->records.size() : 0; }
    [[nodiscard]] bool alarms_of(const std::string& text) const {
        return std::ranges::any_of(machine->report().alarms, [&](const std::string& alarm) {
            return alarm.find(text) != std::string::npos;
        });
    }
    /// Each record's pair is in the token, and each pair has a record or is offered.
    [[nodiscard]] bool is_consistent() {
        std::set<PairId> named;
        for (const auto& held : ticket.ring->records)
            named.insert(held->pair);
        const bool all_there = std::ranges::includes(ticket.held, named);
        for (const auto& offer : offers())
            named.insert(offer.pair);
        return all_there && named == ticket.held;
    }

    static constexpr PartyNumber own = 7;
    daemon::Policy policy;
    daemon::Now now{begun, 1000};
    std::int64_t right_time = begun;
    Trap trap;
    MemoryEngine engine{trap};
    MemoryTicket ticket{trap};
    fleet::TokenKey root = new_key(), origin = new_key(), neighbour = new_key();
    TestVault vaults[2] = {TestVault(1, "vault-a"), TestVault(2, "vault-b")};
    TestVault elsewhere{3, "vault-elsewhere"};
    fleet::Identity self;
    Value saved;
    bool fails_to_save = false;
    std::optional<fleet::KnownLists> lists;
    std::optional<fleet::Machine> machine;

  private:
    bool is_served(daemon::KeyId key, const PairId& pair) {
        const auto found = values().find(record_key(key));
        if (found == values().end())
            return false;
        const auto signer = fleet::peek_frame(found->second, fleet::Kind::record, self.fleet).signer;
        const auto record = fleet::decode_record(fleet::open_frame(
            found->second, fleet::Kind::record, self.fleet, vaults[signer - 1].signing.point));
        return record.revoked || record.pair == pair;
    }

    Workspace workspace_;
    std::uint64_t fleet_serial_ = 0, machines_serial_ = 0;
};

}  // namespace stek::test
