#include "daemon/plan.hpp"

#include <algorithm>

namespace stek::daemon {
namespace {

constexpr std::uint64_t pair_lead = 60;  // seconds before its time that a short period's pair is made

class Planner {
  public:
    Planner(const Now& now, const Policy& policy, const World& world)
        : now_(now),
          policy_(policy),
          world_(world),
          current_(policy.epoch_at(now.wall)),
          records_(world.ring),
          token_pairs_(world.token_pairs),
          memory_(world.memory),
          chain_(world.chain),
          changed_(world.unpublished),
          urgent_(world.unpublished) {
        for (const auto& record : world.ring)
            memory_.reserve(record.key);  // a state file that was lost must not bring a name back
        forget_lost_pairs();
    }

    Plan run() {
        if (world_.order && now_.wall >= 0)
            std::visit([this](const auto& order) { obey(order); }, *world_.order);
        retire_dead();
        destroy_expired_pairs();
        forget_lost_pairs();
        if (now_.wall < 0)  // no key for such a time can be published (ring_codec.cpp)
            return std::move(plan_);
        carry_out_condemnations();
        if (urgent_)
            publish_if_changed();
        end_sealing();
        ensure_chain();
        bring_chain_within_reach();
        provide(current_);
        if (revoke_old_) {
            publish_if_changed();
            for (const auto& id : token_pairs_)
                condemn(id);
            carry_out_condemnations();
        }
        publish_if_changed();
        advance_chain();
        for (unsigned k = 1; k <= policy_.ahead(); ++k)
            provide(current_ + k);
        publish_if_changed();
        prepare_pair();
        destroy_pairs();
        plan_.next_edge = static_cast<std::int64_t>((current_ + 1) * policy_.period);
        for (const auto& record : records_)
            plan_.next_destruction =
                std::min(plan_.next_destruction.value_or(record.destroy_at), record.destroy_at);
        return std::move(plan_);
    }

  private:
    void add(Action action) { plan_.actions.push_back(std::move(action)); }

    [[nodiscard]] bool in_token(const PairId& id) const {
        return std::find(token_pairs_.begin(), token_pairs_.end(), id) != token_pairs_.end();
    }

    void forget_lost_pairs() {
        std::erase_if(memory_.pairs, [&](const KnownPair& pair) {
            return !in_token(pair.id) || memory_.is_condemned(pair.id);
        });
    }

    void obey(const Rotate& order) {
        if (!world_.hourly.made_here) {
            add(Alarm{"no rotation: hourly keys, and so rotations, are the origin's"});
            return;
        }
        const KeyId past{memory_.highest_epoch.value_or(0), memory_.highest_revision};
        add(MarkRotation{past});
        memory_.rotated_past = past;
        memory_.pairs.clear();
        // Begun records are asked for by tickets; these are not, unless the clock was set back meanwhile.
        retire_if([&](const auto& record) { return record.not_before > now_.wall; },
                  "replaced before its time", false);
        revoke_old_ = order.revoke_old;
    }

    void obey(const Revoke& order) {
        const auto named = [&](const RecordView& record) {
            return std::any_of(order.keys.begin(), order.keys.end(),
                               [&](const auto& which) { return which.names(record.key); });
        };
        for (const auto& id : token_pairs_)
            if (order.all || std::any_of(records_.begin(), records_.end(), [&](const auto& record) {
                    return record.pair == id && named(record);
                }))
                condemn(id);
        forget_lost_pairs();
    }

    void condemn(const PairId& id) {
        if (memory_.is_condemned(id))
            return;
        add(Condemn{id});
        memory_.condemned.push_back(id);
    }

    void carry_out_condemnations() {
        std::erase_if(token_pairs_, [&](const PairId& id) {
            if (!memory_.is_condemned(id))
                return false;
            add(DestroyPair{id, false});
            return true;
        });
        urgent_ |=
            retire_if([&](const auto& record) { return memory_.is_condemned(record.pair); }, "revoked", true);
    }

    // Also when the clock comes back later to an epoch of before the rotation, or a period was changed and
    // numbers that are larger, or windows that are longer, come from the time before.
    void end_sealing() {
        if (!world_.hourly.made_here)
            return;
        for (auto& record : records_) {
            if (memory_.made_since_rotation(record.key) || record.not_before > now_.wall ||
                record.seal_until <= now_.wall)
                continue;
            add(EndSealing{record.key, now_.wall});
            record.seal_until = now_.wall;
            changed_ = true;
        }
    }

    /// Whether there was one.
    template <class Condition>
    bool retire_if(const Condition& condition, const char* why, bool revoked) {
        const auto retired = std::erase_if(records_, [&](const RecordView& record) {
            if (!condition(record))
                return false;
            add(Retire{record.key, why, revoked});
            return true;
        });
        changed_ |= retired != 0;
        return retired != 0;
    }

    // Longest that a record can have to live, by its own windows. More than that is a ring of another boot.
    [[nodiscard]] std::uint64_t longest_life(const RecordView& record) const {
        const auto length = [](std::int64_t from, std::int64_t to) {
            return static_cast<std::uint64_t>(std::max<std::int64_t>(to - from, 0));
        };
        return length(record.not_before, record.open_until) + 1 +
               Policy::max_ahead * std::max(length(record.not_before, record.seal_until), policy_.period);
    }

    void retire_dead() {
        retire_if([&](const auto& record) { return record.destroy_at <= now_.boot; }, "expired", false);
        retire_if([&](const auto& record) { return record.destroy_at - now_.boot > longest_life(record); },
                  "of another boot", false);
        urgent_ |= retire_if([&](const auto& record) { return !in_token(record.pair); },
                             "its key pair is gone", false);
    }

    void ensure_chain() {
        if (chain_)
            return;
        if (!world_.hourly.made_here) {
            // All vaults of a location have the same; one of its own would open nobody else's tickets.
            add(Alarm{"the vault has no chain key; it comes with the location's other vaults"});
            return;
        }
        if (memory_.highest_index)
            add(Alarm{"the vault has lost its chain key; a new one is made"});
        chain_ = ChainPosition{memory_.highest_index ? *memory_.highest_index + 1 : 0, current_};
        add(MakeChain{*chain_});
    }

    // What is asked for lies further ahead than may be derived: the vault could not be written for long, or
    // the state counts more than the chain has seen. Then the chain moves before there is a key.
    void bring_chain_within_reach() {
        if (!chain_ || !may_derive_now())
            return;
        auto steps = steps_to(current_);
        if (steps <= Chain::max_steps_ahead)
            return;
        const auto behind = "the chain key is " + std::to_string(steps) + " steps behind";
        if (world_.hourly.made_here && steps > Chain::max_advance) {
            add(Alarm{behind + "; a new one is made"});
            chain_ = ChainPosition{chain_->index + steps, current_};
            add(MakeChain{*chain_});
            return;
        }
        add(Alarm{behind + " and catches up"});
        for (; steps > Chain::max_steps_ahead; steps = steps_to(current_))
            advance(std::min(steps, Chain::max_advance));
    }

    // With an origin there must be a key of this epoch, and the chain goes nowhere without.
    [[nodiscard]] bool may_derive_now() const {
        return world_.hourly.made_here || (current_ >= chain_->epoch && newest_at_hand(current_));
    }

    // In a fleet epoch and index go together; standalone the chain goes to this epoch at once.
    void advance(std::uint64_t steps) {
        const auto epoch = world_.hourly.made_here ? current_ : chain_->epoch + steps;
        add(Advance{steps, epoch});
        chain_ = ChainPosition{chain_->index + steps, epoch};
    }

    // A record counts by its window, not by its number alone: numbers mean other times after a change of
    // period.
    [[nodiscard]] bool provided(std::uint64_t epoch, std::uint32_t at_least) const {
        return std::any_of(records_.begin(), records_.end(), [&](const RecordView& record) {
            return record.key.epoch == epoch && record.key.revision >= at_least &&
                   record.not_before == begin_of(epoch) && record.seal_until == begin_of(epoch + 1) &&
                   (!world_.hourly.made_here || memory_.made_since_rotation(record.key));
        });
    }

    [[nodiscard]] std::int64_t begin_of(std::uint64_t epoch) const {
        return static_cast<std::int64_t>(epoch * policy_.period);
    }

    [[nodiscard]] std::optional<KeyId> newest_at_hand(std::uint64_t epoch) const {
        std::optional<KeyId> newest;
        for (const auto& id : world_.hourly.at_hand)
            if (id.epoch == epoch && (!newest || *newest < id))
                newest = id;
        return newest;
    }

    void provide(std::uint64_t epoch) {
        if (!chain_)
            return;
        KeyId key{epoch, 0};
        if (world_.hourly.made_here) {
            if (provided(epoch, 0))
                return;
            key = memory_.next(epoch);
        } else {
            const auto newest = newest_at_hand(epoch);
            if (provided(epoch, newest ? newest->revision : 0))
                return;
            if (!newest) {
                if (epoch == current_)
                    add(Alarm{"no hourly key for epoch " + std::to_string(epoch)});
                return;
            }
            // Far ahead of a chain key that no bundle has moved for long: it is made when its time has come.
            if (epoch < chain_->epoch || epoch - chain_->epoch > Chain::max_steps_ahead)
                return;
            key = *newest;
        }
        make_room();
        const auto slot = policy_.pair_slot(epoch);
        ensure_pair(slot);
        const auto steps = steps_to(epoch);
        memory_.reserve(key, chain_->index + steps);
        const auto open_until = begin_of(epoch + 1) + static_cast<std::int64_t>(policy_.session_timeout);
        // Both clocks are whole seconds, each up to one behind: one more, so that it is never early.
        const auto destroy_at = now_.boot + static_cast<std::uint64_t>(open_until - now_.wall) + 1;
        add(Derive{key, steps, chain_->index + steps, slot, begin_of(epoch), begin_of(epoch + 1), open_until,
                   destroy_at});
        records_.push_back({key, begin_of(epoch), begin_of(epoch + 1), open_until, destroy_at, PairId{}});
        changed_ = true;
    }

    // A clock that jumps all day could fill the ring. What would go first anyway goes then, but never what
    // servers seal with, now or in the epochs ahead.
    void make_room() {
        while (records_.size() >= max_ring_records) {
            auto first = std::ranges::min_element(records_, {}, [&](const RecordView& record) {
                return std::pair(is_newest_of_its_time(record), record.destroy_at);
            });
            add(Alarm{"the ring is full; its oldest record goes early"});
            add(Retire{first->key, "the ring is full"});
            records_.erase(first);
        }
    }

    [[nodiscard]] bool is_newest_of_its_time(const RecordView& record) const {
        const auto epoch = record.key.epoch;
        return epoch >= current_ && epoch <= current_ + policy_.ahead() && provided(epoch, 0) &&
               std::ranges::none_of(records_, [&](const RecordView& other) {
                   return other.key.epoch == epoch && other.key > record.key;
               });
    }

    // The clock that the pair was made by may have been set back since: a pair is not used for ever.
    [[nodiscard]] bool fresh(const KnownPair& pair) const {
        return now_.boot >= pair.made_at && now_.boot - pair.made_at <= 2 * policy_.pair_period() + pair_lead;
    }

    void ensure_pair(std::int64_t slot) {
        const auto known =
            std::any_of(memory_.pairs.begin(), memory_.pairs.end(),
                        [&](const KnownPair& pair) { return pair.slot == slot && fresh(pair); });
        if (known)
            return;
        add(MakePair{slot});
        memory_.pairs.push_back({PairId{}, slot, now_.boot});
    }

    // In a fleet the index is the epoch. Standalone it counts: the next epochs go the next steps, any other
    // epoch goes beyond all that there was. So do the next ones, and this, if indices among those steps may
    // be another epoch's: a clock jumped, and a kill kept the chain from going there.
    [[nodiscard]] std::uint64_t steps_to(std::uint64_t epoch) const {
        const bool onward = epoch >= chain_->epoch;
        const auto highest = memory_.highest_index.value_or(0);
        const auto used = highest > chain_->index ? highest - chain_->index : 0;
        if (onward && (!world_.hourly.made_here ||
                       (epoch - chain_->epoch <= policy_.ahead() && used <= policy_.ahead())))
            return epoch - chain_->epoch;
        // Killed between the derivation and the advance: on to the index that this epoch has already.
        if (used != 0 && memory_.index_epoch == epoch)
            return used;
        return std::max(Policy::jump_steps, used + 1);
    }

    void advance_chain() {
        // In a fleet it moves for epochs with a bundle only, and never back: a wrong clock cannot run it.
        if (!chain_ || (!world_.hourly.made_here && (!provided(current_, 0) || chain_->epoch >= current_)))
            return;
        if (const auto steps = steps_to(current_); steps != 0)
            advance(steps);
    }

    void publish_if_changed() {
        if (changed_)
            add(Publish{});
        changed_ = false;
    }

    [[nodiscard]] std::uint64_t last_paired_epoch() const {
        const auto lead = policy_.period < Policy::shortest_pair_period
                              ? (pair_lead + policy_.period - 1) / policy_.period
                              : std::uint64_t{0};
        return current_ + policy_.ahead() + lead;
    }

    void prepare_pair() {
        if (world_.hourly.made_here)
            ensure_pair(policy_.pair_slot(last_paired_epoch()));
    }

    // Where a rotation made a second pair for a slot, only the newer one will be wrapped to.
    [[nodiscard]] bool newest_of_its_slot(const KnownPair& pair) const {
        const auto& pairs = world_.memory.pairs;
        const auto newest = std::find_if(pairs.rbegin(), pairs.rend(), [&](const KnownPair& other) {
            return other.slot == pair.slot && in_token(other.id);
        });
        return newest != pairs.rend() && newest->id == pair.id;
    }

    static bool names(const std::vector<RecordView>& records, const PairId& id) {
        return std::any_of(records.begin(), records.end(),
                           [&](const RecordView& record) { return record.pair == id; });
    }

    // First of all, whatever fails after it: a disk that is full must not keep expired keys.
    void destroy_expired_pairs() {
        destroy_pairs([&](const PairId& id) {
            return names(world_.ring, id) &&
                   std::all_of(world_.ring.begin(), world_.ring.end(), [&](const RecordView& record) {
                       return record.pair != id || record.destroy_at <= now_.boot;
                   });
        });
    }

    void destroy_pairs() {
        destroy_pairs([](const PairId&) { return true; });
    }

    template <class Condition>
    void destroy_pairs(const Condition& condition) {
        std::erase_if(token_pairs_, [&](const PairId& id) {
            if (names(records_, id) || !condition(id))
                return false;
            const auto known = std::find_if(world_.memory.pairs.begin(), world_.memory.pairs.end(),
                                            [&](const KnownPair& pair) { return pair.id == id; });
            const bool known_here = known != world_.memory.pairs.end();
            if (known_here && newest_of_its_slot(*known) && fresh(*known) &&
                known->slot >= policy_.pair_slot(current_) &&
                known->slot <= policy_.pair_slot(last_paired_epoch()))
                return false;
            add(DestroyPair{id, !known_here && !names(world_.ring, id)});
            return true;
        });
    }

    const Now& now_;
    const Policy& policy_;
    const World& world_;
    std::uint64_t current_;
    std::vector<RecordView> records_;
    std::vector<PairId> token_pairs_;
    Memory memory_;
    std::optional<ChainPosition> chain_;
    bool changed_, revoke_old_ = false;
    bool urgent_;  ///< the ring must not wait for a new key, which a full disk may keep from being made
    Plan plan_;
};

}  // namespace

bool Plan::rests() const noexcept {
    return std::ranges::all_of(actions,
                               [](const Action& action) { return std::holds_alternative<Alarm>(action); });
}

Plan plan(const Now& now, const Policy& policy, const World& world) {
    return Planner(now, policy, world).run();
}

}  // namespace stek::daemon
