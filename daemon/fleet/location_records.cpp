#include "daemon/fleet/location_records.hpp"

#include "daemon/fleet/engine_keys.hpp"
#include "daemon/hpke_error.hpp"

#include <algorithm>
#include <stdexcept>

namespace stek::fleet {
namespace {

// To derive K costs some eight times what it costs to wrap it to one more machine (measured): shared by so
// many, it no longer counts. More in one call would only hold the vault's session for longer.
constexpr std::size_t derived_together = 64;

constexpr PairId no_pair{};

std::uint64_t serial_of(const PartyList* list) noexcept {
    return list != nullptr ? list->serial : 0;
}

}  // namespace

void RecordDesk::serve(std::int64_t now, const daemon::Policy& policy) {
    begin_run(now, policy);
    for (const VerifiedBundle& bundle : hours_->bundles()) {
        const auto window = record_window(bundle, hours_->is_superseded(bundle.key), now, policy);
        if (window)
            serve_key({bundle.key, *window, policy.period, first_epoch_of_pair(bundle.key.epoch, policy)});
    }
    for (const KeyId key : std::set(desk_->memory().revoked))  // a copy: counters are remembered meanwhile
        if (now < epoch_window(key.epoch, policy).open_until)
            revoke_everywhere(key, policy);
}

void RecordDesk::begin_run(std::int64_t now, const daemon::Policy& policy) {
    const Premises premises{serial_of(desk_->lists.fleet()), serial_of(desk_->lists.machines()),
                            policy.epoch_at(now)};
    if (premises != premises_) {
        settled_.clear();
        names_.clear();
    }
    premises_ = premises;
    const auto names = desk_->engine.list(desk_->bucket(), all_records);
    there_ = {names.begin(), names.end()};
    pairs_.begin_run(first_epoch_of_pair(policy.epoch_at(now), policy));
    machines_ = active().size();
}

std::vector<const Party*> RecordDesk::active() const {
    std::vector<const Party*> found;
    if (const PartyList* list = desk_->lists.machines())
        for (const Party& party : list->parties)
            if (party.standing == Standing::active)
                found.push_back(&party);
    return found;
}

void RecordDesk::serve_key(const Work& work) {
    std::map<OaepHash, std::vector<Job>> jobs;
    const auto machines = active();
    pairs_.read_ahead(machines, work.first_epoch_of_pair);
    for (const Party* machine : machines) {
        if (hours_->hourly(work.key) == nullptr)
            return;
        const MachinePair* pair = pairs_.of(*machine, work.first_epoch_of_pair);
        if (pair == nullptr)
            continue;
        switch (look(*machine, work.key, &pair->pair)) {
            case There::no:
                jobs[pair->oaep].push_back({machine, pair});
                break;
            case There::yes:
                break;
            case There::revoked:
                adopt_revocation(work.key);
                break;
        }
    }
    if (hours_->hourly(work.key) == nullptr)
        return;
    for (const auto& [oaep, of_hash] : jobs)
        for (std::span<const Job> rest = of_hash; !rest.empty();) {
            const auto block = rest.first(std::min(rest.size(), derived_together));
            derive_for(block, oaep, work);
            rest = rest.subspan(block.size());
        }
}

RecordDesk::There RecordDesk::look(const Party& machine, KeyId key, const PairId* pair) {
    const auto name = record_key(machine.name, key);
    if (!there_.contains(name))
        return There::no;
    const PairId& wanted = pair != nullptr ? *pair : no_pair;
    if (const auto settled = settled_.find(name); settled != settled_.end() && settled->second == wanted)
        return pair != nullptr ? There::yes : There::revoked;
    const auto frame = desk_->find(desk_->bucket(), name);
    if (!frame)
        return There::no;
    const auto found = judge(*frame, machine, key, pair);
    if (found != There::no)
        settled_[name] = found == There::revoked ? no_pair : wanted;
    return found;
}

// What is not good is not told: of a vault that was retired since, or half of a file, it is made anew.
RecordDesk::There RecordDesk::judge(Bytes frame, const Party& machine, KeyId key, const PairId* pair) {
    try {
        const Party* signer = nullptr;
        const auto record =
            decode_record(desk_->lists.open(frame, Kind::record, Role::vault, desk_->self.location, signer));
        if (record.machine != machine.number || record.location != desk_->self.location || record.key != key)
            return There::no;
        if (record.revoked)
            return There::revoked;
        if (pair == nullptr || record.pair != *pair)
            return There::no;
        compare_name(key, record.name);
        return There::yes;
    } catch (const FrameError&) {
        return There::no;
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
        spkis.emplace_back(job.pair->public_key);
    try {
        desk_->vault.derive(key, *hours_->hourly(key), spkis, oaep, out);
        return true;
    } catch (const std::runtime_error& error) {
        (void)desk_->vault.chain_epoch();
        if (jobs.size() == 1)
            desk_->alarms.raise("key " + bundle_key(key) + " could not be wrapped for machine " +
                                jobs.front().machine->name + ": " + error.what());
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
    std::vector<Engine::Item> items;
    std::vector<PairId> pairs;
    for (std::size_t i = 0; i < jobs.size(); ++i)
        if (const auto record = record_for(jobs[i], work, steks, std::move(steks.wrapped_keys[i]))) {
            items.push_back(item_of(*jobs[i].machine, *record));
            pairs.push_back(record->pair);
        }
    desk_->engine.put_all(desk_->bucket(), items);
    for (std::size_t i = 0; i < items.size(); ++i)
        note(items[i].key, pairs[i]);
    last_epoch_ = std::max(last_epoch_, work.key.epoch);
}

void RecordDesk::compare_name(KeyId key, const KeyName& name) {
    if (names_.emplace(key, name).first->second != name)
        desk_->alarms.raise("key " + bundle_key(key) + " has two names: the vaults of location " +
                            desk_->self.location + " do not have the same chain key");
}

// Nothing if the machine's sealing key does not work.
std::optional<MachineRecord> RecordDesk::record_for(const Job& job, const Work& work,
                                                    const WrappedSteks& steks,
                                                    std::vector<std::uint8_t> wrapped_key) {
    MachineRecord record;
    record.location = desk_->self.location;
    record.machine = job.machine->number;
    record.counter = desk_->next_counter();
    record.key = work.key;
    record.not_before = work.window.not_before;
    record.seal_until = work.window.seal_until;
    record.open_until = work.window.open_until;
    record.period = work.period;
    record.name = steks.name;
    record.pair = job.pair->pair;
    record.oaep = steks.oaep;
    record.wrapped_key = std::move(wrapped_key);
    try {
        seal_admission_key(record, desk_->self.fleet, job.machine->sealing_key, steks.admission_key);
    } catch (const hpke::Error& error) {
        desk_->alarms.raise("machine " + job.machine->name +
                            " gets no records, for its sealing key does not work: " + error.what());
        return {};
    }
    return record;
}

Engine::Item RecordDesk::item_of(const Party& machine, const MachineRecord& record) const {
    return {record_key(machine.name, record.key),
            desk_->self.sign(Kind::record, desk_->own_number(), encode_record(record))};
}

void RecordDesk::note(const std::string& name, const PairId& pair) {
    there_.insert(name);
    settled_[name] = pair;
}

void RecordDesk::put(const Party& machine, const MachineRecord& record) {
    const auto item = item_of(machine, record);
    desk_->engine.put(desk_->bucket(), item.key, item.value);
    note(item.key, record.pair);
}

void RecordDesk::revoke_everywhere(KeyId key, const daemon::Policy& policy) {
    const Window window = epoch_window(key.epoch, policy);
    for (const Party* machine : active()) {
        if (look(*machine, key, nullptr) == There::revoked)
            continue;
        MachineRecord record;
        record.location = desk_->self.location;
        record.machine = machine->number;
        record.counter = desk_->next_counter();
        record.key = key;
        record.not_before = window.not_before;
        record.seal_until = window.seal_until;
        record.open_until = window.open_until;
        record.period = policy.period;
        record.revoked = true;
        put(*machine, record);
    }
}

void RecordDesk::erase_over(std::int64_t before, std::uint64_t chain_epoch, const daemon::Policy& policy) {
    for (const auto& name : there_)
        if (const auto key = key_of_record(name);
            key && key->epoch < chain_epoch && epoch_window(key->epoch, policy).open_until <= before)
            desk_->engine.erase(desk_->bucket(), name);
}

}  // namespace stek::fleet
