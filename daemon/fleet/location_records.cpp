#include "daemon/fleet/location_records.hpp"

#include "daemon/beside.hpp"
#include "daemon/fleet/engine_keys.hpp"
#include "daemon/hpke_error.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <utility>

namespace stek::fleet {
namespace {

// To derive K costs some eight times what it costs to wrap it to one more machine (measured): shared by so
// many, it no longer counts. More in one call would only hold the vault's session for longer.
constexpr std::size_t derived_together = 64;

using State = RecordLedger::State;

}  // namespace

void RecordDesk::serve(std::int64_t now, const daemon::Policy& policy) {
    const auto works = due(now, policy);
    begin_run(works, now, policy);
    for (const auto& work : works)
        serve_key(work);
    for (const KeyId key : revoked(now, policy))
        revoke_everywhere(key, policy);
}

/// Those that are not over.
std::set<KeyId> RecordDesk::revoked(std::int64_t now, const daemon::Policy& policy) const {
    auto keys = desk_->memory().revoked;
    std::erase_if(keys, [&](KeyId key) { return epoch_window(key.epoch, policy).open_until <= now; });
    return keys;
}

std::vector<RecordDesk::Work> RecordDesk::due(std::int64_t now, const daemon::Policy& policy) const {
    std::vector<Work> works;
    for (const VerifiedBundle& bundle : hours_->bundles())
        if (const auto window = record_window(bundle, hours_->is_superseded(bundle.key), now, policy))
            works.push_back(
                {bundle.key, *window, policy.period, first_epoch_of_pair(bundle.key.epoch, policy)});
    return works;
}

void RecordDesk::begin_run(const std::vector<Work>& works, std::int64_t now, const daemon::Policy& policy) {
    auto keys = revoked(now, policy);
    for (const auto& work : works)
        keys.insert(work.key);
    const PartyList *fleet = desk_->lists.fleet(), *machines = desk_->lists.machines();
    const auto list = sha256_of(desk_->lists.machines_frame());
    if (ledger_.begin_run({fleet != nullptr ? fleet->serial : 0, list, policy.epoch_at(now)},
                          machines != nullptr ? std::span(machines->parties) : std::span<const Party>(),
                          std::vector(keys.begin(), keys.end()),
                          desk_->engine.list(desk_->bucket(), all_records)))
        names_.clear();
    pairs_.begin_run(list, first_epoch_of_pair(policy.epoch_at(now), policy));
    machines_ = active().size();
}

std::vector<ListedMachine> RecordDesk::active() const {
    std::vector<ListedMachine> found;
    if (const PartyList* list = desk_->lists.machines())
        for (std::size_t at = 0; at < list->parties.size(); ++at)
            if (list->parties[at].standing == Standing::active)
                found.push_back({&list->parties[at], at});
    return found;
}

void RecordDesk::serve_key(const Work& work) {
    const auto may_be_derived = [&] { return hours_->hourly(work.key) != nullptr; };
    if (!may_be_derived())
        return;
    // One may say that the key is revoked: all that are unread are read before any is made, and what was good
    // in an earlier run is read again.
    const auto known = in_state(State::good, work.key);
    read(in_state(State::unread, work.key), work.key);
    bool is_known_anew = false;
    const auto derive_all = [&](std::span<const Job> jobs) {
        if (!std::exchange(is_known_anew, true))
            read(known, work.key);
        if (may_be_derived())
            derive_for(jobs, jobs.front().pair.oaep, work);
    };
    std::map<OaepHash, std::vector<Job>> jobs;
    const auto machines = active();
    in_blocks(std::span(machines), read_together, [&](std::span<const ListedMachine> block) {
        if (!may_be_derived())
            return;
        pairs_.read_ahead(block, work.first_epoch_of_pair);
        for (const auto& machine : block) {
            auto pair = pair_for(machine, work);
            if (!pair)
                continue;
            auto& of_hash = jobs[pair->oaep];
            of_hash.push_back({machine, std::move(*pair)});
            if (of_hash.size() == derived_together)
                derive_all(std::exchange(of_hash, {}));
        }
    });
    for (const auto& [oaep, of_hash] : jobs)
        if (!of_hash.empty())
            derive_all(of_hash);
}

/// Nothing if it has its record.
std::optional<MachinePair> RecordDesk::pair_for(const ListedMachine& machine, const Work& work) {
    const auto& entry = ledger_.of(work.key, machine.at);
    const bool is_good = entry.state == State::good;
    auto pair = pairs_.other_than(is_good ? &entry.mark : nullptr, machine, work.first_epoch_of_pair);
    // A machine that was booted: another vault may have seen it first.
    if (pair && is_good)
        read(machine, work.key);
    const bool has_it = pair && entry.state == State::good && entry.mark == pair->pair;
    return has_it ? std::nullopt : std::move(pair);
}

std::vector<ListedMachine> RecordDesk::in_state(State state, KeyId key) {
    auto machines = active();
    std::erase_if(machines, [&](const auto& machine) { return ledger_.of(key, machine.at).state != state; });
    return machines;
}

void RecordDesk::read(std::span<const ListedMachine> machines, KeyId key) {
    in_blocks(machines, read_together, [&](std::span<const ListedMachine> block) {
        std::vector<std::string> names;
        for (const auto& machine : block)
            names.push_back(record_key(machine.party->name, key));
        desk_->engine.read_ahead(desk_->bucket(), names);
        for (const auto& machine : block)
            read(machine, key);
    });
}

void RecordDesk::read(const ListedMachine& machine, KeyId key) {
    auto& entry = ledger_.of(key, machine.at);
    const auto before = std::exchange(entry, {State::unread, {}});
    const auto frame = desk_->find(desk_->bucket(), record_key(machine.party->name, key));
    const bool is_the_same =
        frame && before.state == State::revoked && RecordLedger::mark_of(*frame) == before.mark;
    const auto found = is_the_same ? before : frame ? judge(*frame, machine, key) : RecordLedger::Entry{};
    // It is read once more if that cannot be remembered.
    if (found.state == State::revoked)
        adopt_revocation(key);
    entry = found;
}

// What is not good is not told: of a vault that was retired since, or half of a file, it is made anew.
RecordLedger::Entry RecordDesk::judge(Bytes frame, const ListedMachine& machine, KeyId key) {
    try {
        const Party* signer = nullptr;
        const auto record =
            decode_record(desk_->lists.open(frame, Kind::record, Role::vault, desk_->self.location, signer));
        if (record.machine != machine.party->number || record.location != desk_->self.location ||
            record.key != key)
            return {};
        if (record.revoked)
            return {State::revoked, RecordLedger::mark_of(frame)};
        compare_name(key, record.name);
        return {State::good, record.pair};
    } catch (const FrameError&) {
        return {};
    }
}

void RecordDesk::adopt_revocation(KeyId key) {
    LocationMemory changed = desk_->memory();
    if (!changed.revoked.insert(key).second)
        return;
    desk_->remember(std::move(changed));
    hours_->drop(key);
}

/// False if the token would not wrap to one of the pairs; if it would do nothing at all, its own exception.
bool RecordDesk::derive(std::span<const Job> jobs, OaepHash oaep, KeyId key, WrappedSteks& out) {
    std::vector<Bytes> spkis;
    for (const Job& job : jobs)
        spkis.emplace_back(job.pair.public_key);
    try {
        desk_->vault.derive(key, *hours_->hourly(key), spkis, oaep, out);
        return true;
    } catch (const std::runtime_error& error) {
        (void)desk_->vault.chain_epoch();
        if (jobs.size() == 1)
            desk_->alarms.raise("key " + bundle_key(key) + " could not be wrapped for machine " +
                                jobs.front().machine.party->name + ": " + error.what());
        return false;
    }
}

// One machine's pair that the token does not take must not keep the others from theirs.
void RecordDesk::derive_for(std::span<const Job> jobs, OaepHash oaep, const Work& work) {
    WrappedSteks steks;
    if (!derive(jobs, oaep, work.key, steks)) {
        if (jobs.size() > 1)
            for (std::size_t i = 0; i < jobs.size(); ++i)
                derive_for(jobs.subspan(i, 1), oaep, work);
        return;
    }
    compare_name(work.key, steks.name);
    std::vector<MachineRecord> records;
    for (std::size_t i = 0; i < jobs.size(); ++i)
        records.push_back(record_for(jobs[i], work, steks, std::move(steks.wrapped_keys[i])));
    // The token, which signs, is one thread's; what is sealed meanwhile takes no less time.
    daemon::Beside sealing(jobs.size(), [&](std::size_t i) {
        seal_admission_key(records[i], desk_->self.fleet, jobs[i].machine.party->sealing_key,
                           steks.admission_key);
    });
    std::vector<Engine::Item> items;
    std::vector<const Job*> done;
    for (std::size_t i = 0; i < jobs.size(); ++i)
        try {
            sealing.wait_for(i);
            items.push_back(item_of(*jobs[i].machine.party, records[i]));
            done.push_back(&jobs[i]);
        } catch (const hpke::Error& error) {
            desk_->alarms.raise("machine " + jobs[i].machine.party->name +
                                " gets no records, for its sealing key does not work: " + error.what());
        }
    desk_->engine.put_all(desk_->bucket(), items);
    for (const Job* job : done)
        ledger_.of(work.key, job->machine.at) = {State::good, job->pair.pair};
    last_epoch_ = std::max(last_epoch_, work.key.epoch);
}

void RecordDesk::compare_name(KeyId key, const KeyName& name) {
    if (names_.emplace(key, name).first->second != name)
        desk_->alarms.raise("key " + bundle_key(key) + " has two names: the vaults of location " +
                            desk_->self.location + " do not have the same chain key");
}

// Without its admission key.
MachineRecord RecordDesk::record_for(const Job& job, const Work& work, const WrappedSteks& steks,
                                     std::vector<std::uint8_t> wrapped_key) {
    MachineRecord record;
    record.location = desk_->self.location;
    record.machine = job.machine.party->number;
    record.counter = desk_->next_counter();
    record.key = work.key;
    record.not_before = work.window.not_before;
    record.seal_until = work.window.seal_until;
    record.open_until = work.window.open_until;
    record.period = work.period;
    record.name = steks.name;
    record.pair = job.pair.pair;
    record.oaep = steks.oaep;
    record.wrapped_key = std::move(wrapped_key);
    return record;
}

Engine::Item RecordDesk::item_of(const Party& machine, const MachineRecord& record) const {
    return {record_key(machine.name, record.key),
            desk_->self.sign(Kind::record, desk_->own_number(), encode_record(record))};
}

// Read in each run: what another vault was making meanwhile may have come after it.
void RecordDesk::revoke_everywhere(KeyId key, const daemon::Policy& policy) {
    const auto machines = active();
    read(machines, key);
    const Window window = epoch_window(key.epoch, policy);
    for (const auto& machine : machines) {
        auto& entry = ledger_.of(key, machine.at);
        if (entry.state == State::revoked)
            continue;
        MachineRecord record;
        record.location = desk_->self.location;
        record.machine = machine.party->number;
        record.counter = desk_->next_counter();
        record.key = key;
        record.not_before = window.not_before;
        record.seal_until = window.seal_until;
        record.open_until = window.open_until;
        record.period = policy.period;
        record.revoked = true;
        const auto item = item_of(*machine.party, record);
        desk_->engine.put(desk_->bucket(), item.key, item.value);
        entry = {State::revoked, RecordLedger::mark_of(item.value)};
    }
}

void RecordDesk::erase_over(std::int64_t before, std::uint64_t chain_epoch, const daemon::Policy& policy) {
    for (const auto& name : desk_->engine.list(desk_->bucket(), all_records))
        if (const auto key = key_of_record(name);
            key && key->epoch < chain_epoch && epoch_window(key->epoch, policy).open_until <= before)
            desk_->engine.erase(desk_->bucket(), name);
}

}  // namespace stek::fleet
