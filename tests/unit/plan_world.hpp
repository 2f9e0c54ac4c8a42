// A location in miniature: tokens, ring file and state as plain values, and an executor that can be killed
// before each action and in the middle of those that have a middle. What must hold at each action is checked
// here, by name; what must hold at rest, in plan_rest.hpp.
#pragma once

#include "daemon/plan.hpp"
#include "plan_ledger.hpp"

#include <algorithm>
#include <random>
#include <set>
#include <utility>

namespace stek::test {

struct Killed {};

class PlanWorld {
  public:
    explicit PlanWorld(std::uint64_t seed, daemon::Policy policy) : policy(policy), random_(seed) {}

    /// Plans and acts until the plan is empty. Throws Killed at an action, with the given chance, or at the
    /// one that die_after counts to.
    void run(double kill_chance = 0, std::optional<daemon::Order> order = {}) {
        draft_ = ring;
        for (int pass = 0; pass < 8; ++pass) {
            auto world = seen();
            world.order = std::exchange(order, {});
            replacing_ = world.order && std::holds_alternative<daemon::Rotate>(*world.order);
            revoking_ = !memory.condemned.empty();
            const auto plan = daemon::plan(now, policy, world);
            for (const auto& action : plan.actions) {
                maybe_die(kill_chance);
                ++actions;
                std::visit([&](const auto& a) { act(a, kill_chance); }, action);
            }
            if (plan.rests()) {
                another_boots_ring_ = another_boots_ring_ && now.wall < 0;  // nothing is published then
                return;
            }
        }
        violations.insert("the plan comes to rest");
    }

    [[nodiscard]] daemon::World seen() const {
        daemon::World world;
        world.ring = draft_;
        world.chain = chain;
        for (const auto& id : token_pairs)
            world.token_pairs.push_back(id);
        world.memory = memory;
        world.hourly = hourly;
        return world;
    }

    [[nodiscard]] bool seals(std::int64_t at) const { return sealing(at).has_value(); }

    /// The key that servers seal with at that time.
    [[nodiscard]] std::optional<daemon::KeyId> sealing(std::int64_t at) const { return sealing(ring, at); }

    [[nodiscard]] std::uint64_t epoch() const { return policy.epoch_at(now.wall); }

    /// The newest hourly key at hand for an epoch, where an origin sends them.
    [[nodiscard]] std::optional<daemon::KeyId> delivered(std::uint64_t epoch) const {
        std::optional<daemon::KeyId> newest;
        for (const auto& id : hourly.at_hand)
            if (id.epoch == epoch && (!newest || *newest < id))
                newest = id;
        return newest;
    }

    /// Whether there can be a key for an epoch that has not passed.
    [[nodiscard]] bool can_have_key(std::uint64_t epoch) const {
        if (now.wall < 0)
            return false;
        if (hourly.made_here)
            return true;
        // The chain moves to the current epoch, however far; for those ahead it stays where it is.
        const bool within_reach =
            chain && chain->epoch <= epoch &&
            (epoch == policy.epoch_at(now.wall) || epoch - chain->epoch <= Chain::max_steps_ahead);
        return within_reach && delivered(epoch);
    }

    void lose_ring() { ring.clear(); }

    void lose_state() {
        memory = {};
        ledger.lose_state();
    }

    /// Another boot, whose CLOCK_BOOTTIME starts anew. The ring was on tmpfs and is gone; pairs, chain key
    /// and state are there. stekd takes no pair of another boot for its own (Rotation::load_state).
    void reboot(std::uint64_t uptime) {
        now.boot = uptime;
        lose_ring();
        memory.pairs.clear();
        ledger.reboot();
    }

    /// The ring was on a disk and is there, the state is not: nobody knows that it is another boot's.
    void reboot_with_ring(std::uint64_t uptime) {
        const auto kept = ring;
        reboot(uptime);
        lose_state();
        ring = kept;
        for (const auto& record : ring)
            ledger.record_ends(record.key, record.destroy_at);
        another_boots_ring_ = true;
    }

    void require(bool holds, const char* invariant) {
        if (!holds)
            violations.insert(invariant);
    }

    daemon::Policy policy;
    daemon::Now now{1'800'000'000, 1000};
    std::vector<daemon::RecordView> ring;  ///< as published
    std::optional<ChainPosition> chain;
    std::set<PairId> token_pairs;
    daemon::Memory memory;
    daemon::HourlyKeys hourly;
    PlanLedger ledger;

    std::set<std::string> violations;
    std::set<std::string> alarms;
    unsigned actions = 0, derived = 0, chains_made = 0, strays = 0;
    /// Chances to die that are let pass before the one that is taken.
    std::optional<unsigned> die_after;

  private:
    static std::optional<daemon::KeyId> sealing(const std::vector<daemon::RecordView>& records,
                                                std::int64_t at) {
        std::optional<daemon::KeyId> newest;
        for (const auto& record : records)
            if (record.not_before <= at && at < record.seal_until && (!newest || *newest < record.key))
                newest = record.key;
        return newest;
    }

    void maybe_die(double chance) {
        const bool due = die_after && (*die_after)-- == 0;
        if (due)
            die_after.reset();
        if (due || std::bernoulli_distribution(chance)(random_))
            throw Killed{};
    }

    void act(const daemon::MakeChain& action, double) {
        require(hourly.made_here, "a chain key that must be the same elsewhere is not made here");
        require(!chain || action.at.index - chain->index > Chain::max_advance,
                "a chain key is made only where there is none, or one that is too far behind");
        require(action.at.index >= memory.highest_index.value_or(0),
                "the chain never goes back: a new one begins below no index before");
        chain = action.at;
        ++chains_made;
    }

    void act(const daemon::MakePair& action, double kill_chance) {
        PairId id{};
        for (auto& byte : id)
            byte = static_cast<std::uint8_t>(random_());
        const daemon::KnownPair pair{id, action.slot, now.boot};
        token_pairs.insert(id);
        ledger.pair_made(id, pair);
        maybe_die(kill_chance);  // a stray is left
        memory.pairs.push_back(pair);
    }

    void act(const daemon::Derive& action, double kill_chance) {
        const auto period = static_cast<std::int64_t>(policy.period);
        const auto begin = static_cast<std::int64_t>(action.key.epoch) * period;
        const auto open_until = begin + period + static_cast<std::int64_t>(policy.session_timeout);
        const auto end = now.boot + static_cast<std::uint64_t>(open_until - now.wall) + 1;
        require(action.key.epoch >= epoch() && action.key.epoch <= epoch() + policy.ahead(),
                "a key is made for this epoch or one that is prepared, no other");
        require(action.not_before == begin && action.seal_until == begin + period,
                "a key seals for its epoch");
        require(action.open_until == open_until, "a key opens for the session timeout after it has sealed");
        require(action.destroy_at >= end, "a record lives for all of its open window");
        require(action.destroy_at <= end, "a record lives no longer than its open window");
        ledger.record_ends(action.key, end);

        memory.reserve(action.key, action.index);
        maybe_die(kill_chance);
        derive_from_chain(action);
        const daemon::KnownPair* pair = nullptr;
        for (const auto& known : memory.pairs)
            if (known.slot == action.slot && token_pairs.contains(known.id))
                pair = &known;
        require(pair != nullptr, "a key pair is there before what is wrapped to it");
        if (pair == nullptr)
            return;
        require(!memory.is_condemned(pair->id), "nothing is wrapped to a condemned pair");
        draft_.push_back({action.key, action.not_before, action.seal_until, action.open_until,
                          action.destroy_at, pair->id});
        ++derived;
    }

    void derive_from_chain(const daemon::Derive& action) {
        require(action.steps <= Chain::max_steps_ahead, "no key is derived further ahead than it can be");
        require(chain && chain->index + action.steps == action.index, "the index is steps on from the chain");
        const KeyInputs inputs{chains_made, action.index, action.key.revision};
        require(ledger.index_serves(inputs, action.key.epoch), "no chain index serves two epochs");
        if (hourly.made_here) {
            require(ledger.key_is_new(action.key, inputs), "no K is made twice, no name is given twice");
            return;
        }
        require(std::ranges::count(hourly.at_hand, action.key) != 0, "no key is made without its hourly key");
        require(action.index == action.key.epoch, "with an origin the chain index is the epoch");
        require(ledger.key_is_the_same(action.key, inputs), "a key that is made again is the same");
    }

    void act(const daemon::Retire& action, double) {
        std::erase_if(draft_, [&](const auto& record) {
            if (record.key != action.key)
                return false;
            const bool ordered = action.revoked ? memory.is_condemned(record.pair)
                                                : replacing_ && record.not_before > now.wall;
            const bool over = ledger.end_of(record.key) <= now.boot || !token_pairs.contains(record.pair);
            require(over || ordered || another_boots_ring_ || goes_for_want_of_room(record),
                    "no record is destroyed before its age, unless by an order");
            return true;
        });
    }

    // The first to end among those that newer ones stand in for.
    [[nodiscard]] bool goes_for_want_of_room(const daemon::RecordView& record) const {
        return draft_.size() >= max_ring_records && std::ranges::none_of(draft_, [&](const auto& other) {
                   return other.destroy_at < record.destroy_at && !is_wanted(other);
               });
    }

    [[nodiscard]] bool is_wanted(const daemon::RecordView& record) const {
        return record.key.epoch >= epoch() && record.key.epoch <= epoch() + policy.ahead() &&
               std::ranges::none_of(draft_, [&](const auto& other) {
                   return other.key.epoch == record.key.epoch && other.key > record.key;
               });
    }

    void act(const daemon::Publish&, double) {
        // A pair that is gone may be what is left of a revocation that no file could take.
        const bool pair_is_gone = std::ranges::any_of(
            ring, [&](const daemon::RecordView& record) { return !token_pairs.contains(record.pair); });
        require(!can_have_key(epoch()) || sealing(draft_, now.wall) || revoking_ || pair_is_gone,
                "no ring is published without a key to seal with, unless keys were revoked");
        ring = draft_;
    }

    void act(const daemon::Advance& action, double) {
        const bool has_key =
            std::ranges::any_of(ring, [&](const auto& record) { return record.key.epoch == action.epoch; });
        require(has_key || action.steps > Chain::max_steps_ahead,
                "the ring is in place before the chain key behind it is destroyed");
        require(chain && action.steps > 0, "the chain only goes on");
        require(action.steps <= Chain::max_advance, "the chain goes no further at once than it can");
        require(hourly.made_here ? action.epoch == epoch() : action.epoch <= epoch(),
                "the chain goes to this epoch");
        require(hourly.made_here || action.epoch - chain->epoch == action.steps,
                "with an origin the chain takes a step for each epoch, none back");
        require(hourly.made_here || has_key || delivered(epoch()),
                "with an origin the chain moves only for an epoch that has its hourly key");
        chain = ChainPosition{chain->index + action.steps, action.epoch};
    }

    void act(const daemon::DestroyPair& action, double kill_chance) {
        for (const auto& record : ring)
            require(
                record.pair != action.id || ledger.end_of(record.key) <= now.boot ||
                    memory.is_condemned(action.id),
                "no pair is destroyed that the ring names, unless its records have expired or are revoked");
        for (const auto& record : draft_)
            require(record.pair != action.id || ledger.end_of(record.key) <= now.boot ||
                        memory.is_condemned(action.id),
                    "no pair is destroyed that the next ring will name");
        token_pairs.erase(action.id);
        strays += action.stray ? 1 : 0;
        maybe_die(kill_chance);
        std::erase_if(memory.pairs, [&](const auto& pair) { return pair.id == action.id; });
        std::erase(memory.condemned, action.id);
    }

    void act(const daemon::EndSealing& action, double) {
        require(!memory.made_since_rotation(action.key), "only a rotation ends a seal window");
        for (auto& record : draft_)
            if (record.key == action.key)
                record.seal_until = action.at;
    }

    void act(const daemon::MarkRotation& action, double) { memory.rotated_past = action.past; }

    void act(const daemon::Condemn& action, double) {
        revoking_ = true;
        memory.condemned.push_back(action.id);
    }

    void act(const daemon::Alarm& action, double) { alarms.insert(action.text); }

    std::vector<daemon::RecordView> draft_;
    bool replacing_ = false, revoking_ = false;  ///< by the plan that is carried out
    bool another_boots_ring_ = false;            ///< until the first look at it is over
    std::mt19937_64 random_;
};

}  // namespace stek::test
