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

/// Asked for at a time: what an engine answers is then in memory at once.
constexpr std::size_t read_together = 64;

using State = RecordLedger::State;

std::uint64_t serial_of(const PartyList* list) noexcept {
    return list != nullptr ? list->serial : 0;
}

/// In blocks of at most so many.
template <class T, class Act>
void in_blocks(std::span<T> all, std::size_t size, const Act& act) {
    for (; !all.empty(); all = all.subspan(std::min(all.size(), size)))
        act(all.first(std::min(all.size(), size)));
}

}  // namespace

void RecordDesk::serve(std::int64_t now, const daemon::Policy& policy) {
    const auto works = due(now, policy);
    begin_run(works, now, policy);
    for (const auto& work : works)
        serve_key(work);
    for (const KeyId key : std::set(desk_->memory().revoked))  // a copy: counters are remembered meanwhile
        if (now < epoch_window(key.epoch, policy).open_until)
            revoke_everywhere(key, policy);
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
    std::set<KeyId> keys = desk_->memory().revoked;
    for (const auto& work : works)
        keys.insert(work.key);
    const PartyList* list = desk_->lists.machines();
    if (ledger_.begin_run({serial_of(desk_->lists.fleet()), serial_of(list), policy.epoch_at(now)},
                          list != nullptr ? std::span(list->parties) : std::span<const Party>(),
                          std::vector(keys.begin(), keys.end()),
                          desk_->engine.list(desk_->bucket(), all_records)))
        names_.clear();
    pairs_.begin_run(first_epoch_of_pair(policy.epoch_at(now), policy));
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
    if (hours_->hourly(work.key) == nullptr)
        return;
    // All of them before any is made: one may say that the key is revoked.
    read_those_of(work.key);
    if (hours_->hourly(work.key) == nullptr)
        return;
    std::map<OaepHash, std::vector<Job>> jobs;
    const auto machines = active();
    in_blocks(std::span(machines), read_together, [&](std::span<const ListedMachine> block) {
        pairs_.read_ahead(block, work.first_epoch_of_pair);
        for (const auto& machine : block) {
            auto pair = pair_for(machine, work);
            if (!pair || hours_->hourly(work.key) == nullptr)
                continue;
            const auto oaep = pair->oaep;
            auto& of_hash = jobs[oaep];
            of_hash.push_back({machine, std::move(*pair)});
            if (of_hash.size() == derived_together)
                derive_for(std::exchange(of_hash, {}), oaep, work);
        }
    });
    for (const auto& [oaep, of_hash] : jobs)
        if (!of_hash.empty() && hours_->hourly(work.key) != nullptr)
            derive_for(of_hash, oaep, work);
}

/// Nothing if it has its record.
std::optional<MachinePair> RecordDesk::pair_for(const ListedMachine& machine, const Work& work) {
    const auto& entry = ledger_.of(work.key, machine.at);
    const bool is_good = entry.state == State::good;
    auto pair = pairs_.other_than(is_good ? &entry.pair : nullptr, machine, work.first_epoch_of_pair);
    // A machine that was booted: another vault may have seen it first.
    if (pair && is_good)
        read(machine, work.key);
    const bool has_it = pair && entry.state == State::good && entry.pair == pair->pair;
    return has_it ? std::nullopt : std::move(pair);
}

void RecordDesk::read_those_of(KeyId key) {
    auto machines = active();
    std::erase_if(machines, [&](const ListedMachine& machine) {
        return ledger_.of(key, machine.at).state != State::unread;
    });
    in_blocks(std::span(machines), read_together, [&](std::span<ListedMachine> block) {
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
    entry = {};
    if (const auto frame = desk_->find(desk_->bucket(), record_key(machine.party->name, key)))
        judge(*frame, machine, key, entry);
    if (entry.state == State::revoked)
        adopt_revocation(key);
}

// What is not good is not told: of a vault that was retired since, or half of a file, it is made anew.
void RecordDesk::judge(Bytes frame, const ListedMachine& machine, KeyId key, RecordLedger::Entry& entry) {
    try {
        const Party* signer = nullptr;
        const auto record =
            decode_record(desk_->lists.open(frame, Kind::record, Role::vault, desk_->self.location, signer));
        if (record.machine != machine.party->number || record.location != desk_->self.location ||
            record.key != key)
            return;
        if (!record.revoked)
            compare_name(key, record.name);
        entry = {record.revoked ? State::revoked : State::good, record.pair};
    } catch (const FrameError&) {
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

void RecordDesk::revoke_everywhere(KeyId key, const daemon::Policy& policy) {
    read_those_of(key);
    const Window window = epoch_window(key.epoch, policy);
    for (const auto& machine : active()) {
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
        entry = {State::revoked, {}};
    }
}

void RecordDesk::erase_over(std::int64_t before, std::uint64_t chain_epoch, const daemon::Policy& policy) {
    for (const auto& name : desk_->engine.list(desk_->bucket(), all_records))
        if (const auto key = key_of_record(name);
            key && key->epoch < chain_epoch && epoch_window(key->epoch, policy).open_until <= before)
            desk_->engine.erase(desk_->bucket(), name);
}

}  // namespace stek::fleet
