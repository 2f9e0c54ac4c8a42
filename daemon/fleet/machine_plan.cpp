#include "daemon/fleet/machine_plan.hpp"

#include "daemon/fleet/machine_terms.hpp"

#include <algorithm>
#include <set>

namespace stek::fleet {
namespace {

using daemon::KeyId;
using daemon::Now;
using daemon::Policy;

constexpr std::uint64_t pair_lead = 60;  // seconds before its time that a short period's pair is made

bool contains(const std::vector<PairId>& pairs, const PairId& id) {
    return std::ranges::find(pairs, id) != pairs.end();
}

/// The ring to be published, as its records are dropped one by one.
class Dropping {
  public:
    explicit Dropping(const MachineWorld& world) : token_pairs_(world.token_pairs) {
        for (const auto& record : world.ring->records)
            records_.push_back(record.get());
    }

    template <class Condition>
    void retire_if(const Condition& condition, const char* why, bool revoked = false) {
        std::erase_if(records_, [&](const RingRecord* record) {
            if (!condition(*record))
                return false;
            actions_.emplace_back(Retire{key_of(*record), why, revoked});
            changed_ = true;
            return true;
        });
    }

    void destroy(const PairId& id) {
        if (std::erase(token_pairs_, id) != 0)
            actions_.emplace_back(DestroyPair{id});
    }

    // First of all, whatever fails after it: a disk that is full must not keep what is over.
    void expire(const Now& now) {
        const auto is_over = [&](const RingRecord& record) { return record.destroy_at <= now.boot; };
        for (const auto id : std::vector(token_pairs_)) {
            const auto names = [&](const RingRecord* record) { return record->pair == id; };
            if (std::ranges::any_of(records_, names) &&
                std::ranges::all_of(records_,
                                    [&](const auto* record) { return !names(record) || is_over(*record); }))
                destroy(id);
        }
        retire_if(is_over, "expired");
    }

    // The key itself, and whatever else its pair would still unwrap.
    void revoke(KeyId key) {
        for (const auto* record : std::vector(records_))
            if (key_of(*record) == key)
                destroy(record->pair);
        retire_if([&](const RingRecord& record) { return key_of(record) == key; }, "revoked", true);
    }

    void drop_unpaired() {
        retire_if([&](const RingRecord& record) { return !contains(token_pairs_, record.pair); },
                  "its key pair is gone");
    }

    void add(MachineAction action) { actions_.push_back(std::move(action)); }
    void publish_if_changed() {
        if (changed_)
            actions_.emplace_back(Publish{});
        changed_ = false;
    }

    [[nodiscard]] const std::vector<const RingRecord*>& records() const noexcept { return records_; }
    [[nodiscard]] const std::vector<PairId>& token_pairs() const noexcept { return token_pairs_; }
    MachineActions end() { return std::move(actions_); }

  private:
    std::vector<PairId> token_pairs_;
    std::vector<const RingRecord*> records_;
    MachineActions actions_;
    bool changed_ = false;
};

}  // namespace

std::vector<std::uint64_t> wanted_slots(const Now& now, const Policy& policy) {
    const auto current = policy.epoch_at(now.wall);
    const auto early = policy.period < Policy::shortest_pair_period
                           ? (pair_lead + policy.period - 1) / policy.period
                           : std::uint64_t{0};
    std::set<std::uint64_t> slots;
    for (auto epoch = current; epoch <= current + pairs_ahead + early; ++epoch)
        slots.insert(first_epoch_of_pair(epoch, policy));
    return {slots.begin(), slots.end()};
}

MachineActions drop_what_is_over(const Now& now, const Policy& policy, const MachineWorld& world) {
    Dropping ring(world);
    ring.expire(now);
    // Who lost his memory does not know that he was booted since.
    ring.retire_if(
        [&](const RingRecord& record) {
            return record.destroy_at - now.boot > longest_life(record.not_before, record.open_until, policy);
        },
        "of another boot");
    for (const auto& [key, known] : world.memory.keys)
        if (known.revoked)
            ring.revoke(key);
    ring.drop_unpaired();
    ring.publish_if_changed();
    return ring.end();
}

namespace {

/// One that is to be in the ring: there already, or of the records.
struct Candidate {
    KeyId key;
    KeyName name{};
    std::int64_t seal_until = 0;
    std::uint64_t destroy_at = 0;
    const SignedRecord* taken = nullptr;
};

class Merging {
  public:
    Merging(const Now& now, const Policy& policy, const MachineWorld& world)
        : now_(now), policy_(policy), world_(world), ring_(world) {}

    MachineActions run(const std::vector<SignedRecord>& records) {
        for (const auto& record : records)
            if (record.record.revoked)
                revoke(record);
        ring_.drop_unpaired();
        ring_.publish_if_changed();
        world_.token_pairs = ring_.token_pairs();
        for (const auto* record : ring_.records())
            candidates_.push_back({key_of(*record), record->name, record->seal_until, record->destroy_at});
        for (const auto& record : records)
            if (!record.record.revoked)
                consider(record);
        make_room();
        take();
        if (changed_ || world_.unpublished)
            ring_.add(Publish{});
        return ring_.end();
    }

  private:
    void alarm(const MachineRecord& record, const std::string& why) {
        ring_.add(Alarm{"record " + std::to_string(record.key.epoch) + "." +
                        std::to_string(record.key.revision) + ": " + why});
    }

    void revoke(const SignedRecord& revocation) {
        const auto& record = revocation.record;
        if (world_.memory.is_revoked(record.key))
            return;
        if (const auto refusal = refuse_record(revocation, world_, now_, policy_)) {
            alarm(record, refusal->why);
            return;
        }
        const bool was_wrapped_here = world_.memory.find(record.pair) != nullptr;
        const bool is_in_ring = std::ranges::any_of(
            ring_.records(), [&](const auto* held) { return key_of(*held) == record.key; });
        if (record.open_until <= now_.wall && !is_in_ring && !was_wrapped_here)
            return;
        const auto life = longest_life(record.not_before, record.open_until, policy_);
        ring_.add(Revoke{record.key, record.open_until, now_.boot + life});
        world_.memory.keys[record.key].revoked = true;
        ring_.revoke(record.key);
        if (was_wrapped_here)
            ring_.destroy(record.pair);
    }

    void consider(const SignedRecord& record) {
        const auto& content = record.record;
        if (const auto refusal = refuse_record(record, world_, now_, policy_)) {
            if (refusal->suspicious)
                alarm(content, refusal->why);
            return;
        }
        const auto held = std::ranges::find(candidates_, content.key, &Candidate::key);
        const bool is_held = held != candidates_.end();
        if (is_held ? held->name != content.name : has_name(content.name)) {
            alarm(content, is_held ? "its key is not the one of that number that is here"
                                   : "its key name is another key's");
            return;
        }
        if (is_held && (held->taken != nullptr || is_at_hand(content, world_))) {
            remember(record);
            return;
        }
        if (record.admission_key == nullptr)
            return;
        auto ends = std::min(destroy_at(content, now_), gone_by(content));
        if (is_held)
            ends = std::min(ends, held->destroy_at);
        remember(record);
        const Candidate candidate{content.key, content.name, content.seal_until, ends, &record};
        if (is_held)
            *held = candidate;
        else
            candidates_.push_back(candidate);
    }

    [[nodiscard]] bool has_name(const KeyName& name) const {
        return std::ranges::find(candidates_, name, &Candidate::name) != candidates_.end();
    }

    [[nodiscard]] std::uint64_t gone_by(const MachineRecord& record) const {
        const auto* known = world_.memory.find(record.key);
        return known != nullptr && known->gone_by
                   ? *known->gone_by
                   : now_.boot + longest_life(record.not_before, record.open_until, policy_);
    }

    void remember(const SignedRecord& record) {
        const auto& content = record.record;
        const Remember action{
            content.key, content.open_until, gone_by(content), record.vault, {content.counter, record.hash}};
        auto& known = world_.memory.keys[content.key];
        const auto before = known.taken.find(record.vault);
        if (before != known.taken.end() && before->second == action.taken && known.gone_by)
            return;
        ring_.add(action);
        known.gone_by = action.gone_by;
        known.taken[record.vault] = action.taken;
    }

    // Servers seal with it, now or in an epoch to come.
    [[nodiscard]] bool matters(const Candidate& candidate) const {
        return candidate.seal_until > now_.wall &&
               std::ranges::none_of(candidates_, [&](const Candidate& other) {
                   return other.key.epoch == candidate.key.epoch && other.key > candidate.key;
               });
    }

    // The same choice in each run, or the ring would change in each.
    void make_room() {
        if (candidates_.size() <= max_ring_records)
            return;
        ring_.add(Alarm{std::to_string(candidates_.size()) +
                        " keys, more than a key ring holds: those that end first are left out"});
        std::vector<std::tuple<bool, std::uint64_t, KeyId>> ranks;
        for (const auto& candidate : candidates_)
            ranks.emplace_back(matters(candidate), candidate.destroy_at, candidate.key);
        std::ranges::sort(ranks, std::greater<>());
        ranks.resize(max_ring_records);
        std::erase_if(candidates_, [&](const Candidate& candidate) {
            return std::ranges::none_of(ranks,
                                        [&](const auto& rank) { return std::get<2>(rank) == candidate.key; });
        });
        ring_.retire_if(
            [&](const RingRecord& record) {
                const auto stays = std::ranges::find(candidates_, key_of(record), &Candidate::key);
                return stays == candidates_.end();
            },
            "the ring is full");
    }

    void take() {
        for (const auto& candidate : candidates_)
            if (candidate.taken != nullptr) {
                ring_.add(Take{candidate.taken, candidate.destroy_at});
                changed_ = true;
            }
    }

    const Now& now_;
    const Policy& policy_;
    MachineWorld world_;
    Dropping ring_;
    std::vector<Candidate> candidates_;
    bool changed_ = false;
};

}  // namespace

MachineActions merge_records(const Now& now, const Policy& policy, const MachineWorld& world,
                             const std::vector<SignedRecord>& records) {
    return Merging(now, policy, world).run(records);
}

std::vector<const OwnPair*> pairs_to_offer(const Now& now, const Policy& policy,
                                           const MachineMemory& memory) {
    std::vector<const OwnPair*> pairs;
    for (const auto slot : wanted_slots(now, policy)) {
        const auto newest = std::find_if(memory.pairs.rbegin(), memory.pairs.rend(),
                                         [&](const OwnPair& pair) { return pair.slot_epoch == slot; });
        if (newest != memory.pairs.rend())
            pairs.push_back(&*newest);
    }
    return pairs;
}

MachineActions make_due_pairs(const Now& now, const Policy& policy, const MachineWorld& world) {
    const auto there = pairs_to_offer(now, policy, world.memory);
    MachineActions actions;
    for (const auto slot : wanted_slots(now, policy))
        if (std::ranges::none_of(there, [&](const auto* pair) { return pair->slot_epoch == slot; }))
            actions.emplace_back(MakePair{slot});
    return actions;
}

MachineActions destroy_idle_pairs(const Now& now, const Policy& policy, const MachineWorld& world) {
    const auto offered = pairs_to_offer(now, policy, world.memory);
    MachineActions actions;
    for (const auto& id : world.token_pairs) {
        const bool is_named =
            std::ranges::any_of(world.ring->records, [&](const auto& record) { return record->pair == id; });
        const bool is_offered =
            std::ranges::any_of(offered, [&](const auto* pair) { return pair->id == id; });
        if (!is_named && !is_offered)
            actions.emplace_back(DestroyPair{id});
    }
    return actions;
}

void forget_old_keys(MachineMemory& memory, const Now& now, const KeyRing& ring) {
    std::erase_if(memory.keys, [&](const auto& item) {
        const KeyId key = item.first;  // clang 14 has no structured binding in a lambda
        const auto& known = item.second;
        const bool is_in_ring =
            std::ranges::any_of(ring.records, [&](const auto& record) { return key_of(*record) == key; });
        return !is_in_ring && known.open_until <= now.wall && (!known.gone_by || *known.gone_by <= now.boot);
    });
}

}  // namespace stek::fleet
