#include "daemon/fleet/machine.hpp"

#include "daemon/fleet/machine_terms.hpp"
#include "daemon/hpke_error.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace stek::fleet {
namespace {

using daemon::Now;
using daemon::Policy;

/// The reason is in Machine::trouble_.
struct NotSaved {};

std::unique_ptr<RingRecord> ring_record(const SignedRecord& taken, std::uint64_t destroy_at) {
    const auto& from = taken.record;
    auto record = std::make_unique<RingRecord>();
    record->epoch = from.key.epoch;
    record->revision = from.key.revision;
    record->not_before = from.not_before;
    record->seal_until = from.seal_until;
    record->open_until = from.open_until;
    record->destroy_at = destroy_at;
    record->name = from.name;
    std::ranges::copy(taken.admission_key->bytes(), record->admission_key.span().begin());
    record->pair = from.pair;
    record->oaep = from.oaep;
    record->wrapped_key = from.wrapped_key;
    return record;
}

}  // namespace

Machine::Machine(const Identity& self, KnownLists& lists, Engine& engine, TicketWork& ticket,
                 MachineMemory memory, std::function<void(const MachineMemory&)> save)
    : self_(&self),
      lists_(&lists),
      engine_(&engine),
      ticket_(&ticket),
      memory_(std::move(memory)),
      save_(std::move(save)),
      bucket_(bucket::of_location(self.location)) {
    if (!self.sealing)
        throw std::invalid_argument("a machine without a sealing key");
}

void Machine::run(const Now& now, const Policy& policy, const std::shared_ptr<const KeyRing>& there) {
    trouble_ = nullptr;
    engine_answers_ = true;
    report_ = {};
    look_around(now, policy, there);
    carry_out(drop_what_is_over(now, policy, world()), now);
    if (now.wall < 0)
        throw std::runtime_error("the clock is before 1970: no keys until it is set");
    try_to([&] { lists_->refresh(*engine_); });
    find_own_number();
    const auto records = gather(now, policy);
    try {
        carry_out(merge_records(now, policy, world(), records), now);
        if (own_ != 0)
            carry_out(make_due_pairs(now, policy, world()), now);
    } catch (const NotSaved&) {
        if (unpublished_)
            carry_out({Publish{}}, now);
    }
    if (own_ != 0)
        try_to([&] { offer_pairs(now, policy); });
    carry_out(destroy_idle_pairs(now, policy, world()), now);
    if (trouble_)
        std::rethrow_exception(trouble_);
}

Machine::Next Machine::next(const Now& now, const Policy& policy) const {
    Next next{static_cast<std::int64_t>((policy.epoch_at(now.wall) + 1) * policy.period), {}};
    for (const auto& record : ring_.records)
        next.destruction = std::min(next.destruction.value_or(record->destroy_at), record->destroy_at);
    return next;
}

// Ages count in the CLOCK_BOOTTIME of one boot, and pairs are in one token: what is of another is forgotten.
// That is in the memory which a later change saves; until then a kill finds the same once more.
void Machine::look_around(const Now& now, const Policy& policy, const std::shared_ptr<const KeyRing>& there) {
    const auto boot = ticket_->boot_id();
    const bool rebooted = !memory_.boot_id.empty() && memory_.boot_id != boot;
    if (rebooted)
        for (auto& [key, known] : memory_.keys)
            known.gone_by.reset();
    const auto serial = ticket_->token_serial();
    if (rebooted || memory_.token_serial != serial)
        memory_.pairs.clear();
    memory_.boot_id = boot;
    memory_.token_serial = serial;
    token_pairs_ = ticket_->pairs();
    std::erase_if(memory_.pairs,
                  [&](const OwnPair& pair) { return std::ranges::count(token_pairs_, pair.id) == 0; });
    adopt_ring(rebooted ? nullptr : there, policy);
    forget_old_keys(memory_, now, ring_);
}

// The file is the truth, for a kill may have lost what was in memory. Where it is gone, what this process
// published is not: the location may be out of reach.
void Machine::adopt_ring(const std::shared_ptr<const KeyRing>& there, const Policy& policy) {
    const bool is_ours =
        there != nullptr && there->location == self_->location && there->token_serial == memory_.token_serial;
    if (is_ours)
        ring_ = copy_of(*there);
    else if (ring_.token_serial != memory_.token_serial)
        ring_ = {};
    unpublished_ = !is_ours || there->period != policy.period;
    ring_.location = self_->location;
    ring_.token_serial = memory_.token_serial;
    ring_.period = policy.period;
}

MachineWorld Machine::world() const {
    return {own_, self_->location, ticket_->oaep(), &ring_, unpublished_, token_pairs_, memory_};
}

template <class Act>
void Machine::try_to(const Act& act) {
    try {
        act();
    } catch (const EngineError&) {
        engine_answers_ = false;
        trouble_ = trouble_ ? trouble_ : std::current_exception();
    } catch (...) {
        trouble_ = trouble_ ? trouble_ : std::current_exception();
    }
}

void Machine::find_own_number() {
    const auto* machines = lists_->machines();
    const auto* self = machines != nullptr ? self_->in(*machines) : nullptr;
    own_ = self != nullptr ? self->number : 0;
    if (own_ == 0)
        try_to([&] {
            throw FrameError("machine " + self_->name + " is not in the list of location " + self_->location);
        });
}

std::vector<SignedRecord> Machine::gather(const Now& now, const Policy& policy) {
    std::vector<SignedRecord> records;
    if (!engine_answers_ || own_ == 0)
        return records;
    try_to([&] {
        const auto keys = engine_->list(bucket_, records_of(self_->name));
        engine_->read_ahead(bucket_, keys);
        for (const auto& key : keys) {
            try {
                if (const auto frame = engine_->get(bucket_, key))
                    records.push_back(read(*frame, now, policy));
            } catch (const FrameError& error) {
                report_.alarms.push_back(key + ": " + error.what());
            } catch (const OversizedValue& error) {
                report_.alarms.push_back(key + ": " + error.what());
            } catch (const hpke::Error& error) {
                report_.alarms.push_back(key + ": the admission key does not open: " + error.what());
            }
        }
    });
    return records;
}

SignedRecord Machine::read(Bytes frame, const Now& now, const Policy& policy) const {
    const Party* vault = nullptr;
    const auto body = lists_->open(frame, Kind::record, Role::vault, self_->location, vault);
    SignedRecord found{decode_record(body), vault->number, frame_hash(frame), nullptr};
    const auto seen = world();
    if (found.record.revoked || refuse_record(found, seen, now, policy) || is_at_hand(found.record, seen))
        return found;
    const auto admission_key = std::make_shared<SecretArray<admission_key_size>>();
    open_admission_key(found.record, self_->fleet, self_->sealing->key.get(), self_->sealing->point,
                       *admission_key);
    found.admission_key = admission_key;
    return found;
}

bool Machine::is_offered(const std::string& key, Bytes body) {
    try {
        const auto frame = engine_->get(bucket_, key);
        const Party* signer = nullptr;
        return frame &&
               std::ranges::equal(lists_->open(*frame, Kind::pair, Role::machine, self_->location, signer),
                                  body) &&
               signer->number == own_;
    } catch (const FrameError&) {
        return false;
    } catch (const OversizedValue&) {
        return false;
    }
}

// Each time all are asked for: the engine may have lost them, or brought back an older one.
void Machine::offer_pairs(const Now& now, const Policy& policy) {
    if (!engine_answers_)
        return;
    const auto pairs = pairs_to_offer(now, policy, memory_);
    std::vector<std::string> offered;
    offered.reserve(pairs.size());
    for (const auto* pair : pairs)
        offered.push_back(pair_key(self_->name, pair->slot_epoch));
    engine_->read_ahead(bucket_, offered);
    for (std::size_t i = 0; i < pairs.size(); ++i) {
        const auto& pair = *pairs[i];
        const auto body =
            encode_pair({own_, self_->location, pair.slot_epoch, pair.id, ticket_->oaep(), pair.public_key});
        if (!is_offered(offered[i], body))
            engine_->put(bucket_, offered[i], self_->sign(Kind::pair, own_, body));
    }
    for (const auto& key : engine_->list(bucket_, pairs_of(self_->name)))
        if (std::ranges::find(offered, key) == offered.end())
            engine_->erase(bucket_, key);
}

void Machine::save_if_possible() {
    try_to([&] { save_(memory_); });
}

template <class Change>
void Machine::remember(const Change& change) {
    auto before = memory_;
    change();
    try {
        save_(memory_);
    } catch (...) {
        memory_ = std::move(before);
        trouble_ = trouble_ ? trouble_ : std::current_exception();
        throw NotSaved{};
    }
}

void Machine::carry_out(const MachineActions& actions, const Now& now) {
    if (actions.empty())
        return;
    draft_ = copy_of(ring_);
    for (const auto& action : actions)
        std::visit([&](const auto& wanted) { act(wanted, now); }, action);
}

void Machine::act(const Revoke& action, const Now&) {
    auto& known = memory_.keys[action.key];
    known.revoked = true;
    known.open_until = std::max(known.open_until, action.open_until);
    known.gone_by = std::max(known.gone_by.value_or(0), action.gone_by);
    // If this cannot be saved, the pair goes all the same, and no replay outlives that.
    save_if_possible();
}

void Machine::act(const DestroyPair& action, const Now&) {
    ticket_->destroy_pair(action.id);
    std::erase(token_pairs_, action.id);
    std::erase_if(memory_.pairs, [&](const OwnPair& pair) { return pair.id == action.id; });
}

void Machine::act(const Retire& action, const Now&) {
    std::erase_if(draft_.records, [&](const auto& record) { return key_of(*record) == action.key; });
    report_.retired.push_back(action);
}

void Machine::act(const Remember& action, const Now&) {
    remember([&] {
        auto& known = memory_.keys[action.key];
        known.open_until = std::max(known.open_until, action.open_until);
        known.gone_by = action.gone_by;
        known.taken[action.vault] = action.taken;
    });
}

void Machine::act(const Take& action, const Now&) {
    const auto key = action.record->record.key;
    std::erase_if(draft_.records, [&](const auto& record) { return key_of(*record) == key; });
    const auto behind =
        std::ranges::find_if(draft_.records, [&](const auto& record) { return key < key_of(*record); });
    draft_.records.insert(behind, ring_record(*action.record, action.destroy_at));
    report_.taken.push_back(key);
}

void Machine::act(const Publish&, const Now& now) {
    draft_.generation = std::max(ring_.generation, memory_.generation) + 1;
    draft_.written_at = std::max<std::int64_t>(now.wall, 0);
    memory_.generation = draft_.generation;
    // What leaves the ring leaves it though the memory cannot be saved; what comes is remembered already.
    save_if_possible();
    ticket_->publish(draft_);
    ring_ = copy_of(draft_);
    unpublished_ = false;
}

void Machine::act(const MakePair& action, const Now&) {
    const auto pair = ticket_->make_pair(action.slot_epoch);
    token_pairs_.push_back(pair.id);
    try {
        remember([&] { memory_.pairs.push_back(pair); });
    } catch (const NotSaved&) {
        // Or each try on a full disk would leave another pair.
        ticket_->destroy_pair(pair.id);
        std::erase(token_pairs_, pair.id);
        throw;
    }
}

void Machine::act(const Alarm& action, const Now&) {
    report_.alarms.push_back(action.text);
}

}  // namespace stek::fleet
