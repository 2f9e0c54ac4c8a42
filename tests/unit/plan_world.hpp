// A location in miniature: tokens, ring file and state as plain values, and an executor that can be killed
// before each action and in the middle of those that have a middle.
#pragma once

#include "daemon/plan.hpp"

#include <random>
#include <set>
#include <tuple>
#include <utility>

namespace stek::test {

struct Killed {};

class PlanWorld {
  public:
    explicit PlanWorld(std::uint64_t seed, daemon::Policy policy) : policy(policy), random_(seed) {}

    /// Plans and acts until the plan is empty. Throws Killed at an action, with the given chance.
    void run(double kill_chance = 0, std::optional<daemon::Order> order = {}) {
        draft_ = ring;
        for (int pass = 0; pass < 8; ++pass) {
            auto world = seen();
            world.order = std::exchange(order, {});
            replacing_ = world.order && std::holds_alternative<daemon::Rotate>(*world.order);
            const auto plan = daemon::plan(now, policy, world);
            for (const auto& action : plan.actions) {
                maybe_die(kill_chance);
                ++actions;
                std::visit([&](const auto& a) { act(a, kill_chance); }, action);
            }
            if (plan.rests())
                return;
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

    [[nodiscard]] bool seals(std::int64_t at) const {
        for (const auto& record : ring)
            if (record.not_before <= at && at < record.seal_until)
                return true;
        return false;
    }

    /// The key that servers seal with at that time.
    [[nodiscard]] std::optional<daemon::KeyId> sealing(std::int64_t at) const {
        std::optional<daemon::KeyId> newest;
        for (const auto& record : ring)
            if (record.not_before <= at && at < record.seal_until && (!newest || *newest < record.key))
                newest = record.key;
        return newest;
    }

    void lose_ring() {
        ring.clear();
        exempt_from_age = true;
    }

    daemon::Policy policy;
    daemon::Now now{1'800'000'000, 1000};
    std::vector<daemon::RecordView> ring;  ///< as published
    std::optional<ChainPosition> chain;
    std::set<PairId> token_pairs;
    daemon::Memory memory;
    daemon::HourlyKeys hourly;

    std::set<std::string> violations;
    std::set<std::string> alarms;
    unsigned actions = 0, derived = 0, chains_made = 0, strays = 0;
    bool exempt_from_age = false;

  private:
    void maybe_die(double chance) {
        if (std::bernoulli_distribution(chance)(random_))
            throw Killed{};
    }

    void require(bool holds, const char* invariant) {
        if (!holds)
            violations.insert(invariant);
    }

    void act(const daemon::MakeChain& action, double) {
        require(!chain || action.at.index - chain->index > Chain::max_advance,
                "a chain key is made only where there is none, or one that is too far behind");
        chain = action.at;
        ++chains_made;
    }

    void act(const daemon::MakePair& action, double kill_chance) {
        PairId id{};
        for (auto& byte : id)
            byte = static_cast<std::uint8_t>(random_());
        token_pairs.insert(id);
        maybe_die(kill_chance);  // a stray is left
        memory.pairs.push_back({id, action.slot, now.boot});
    }

    void act(const daemon::Derive& action, double kill_chance) {
        require(action.steps <= Chain::max_steps_ahead, "no key is derived further ahead than it can be");
        require(chain && chain->index + action.steps == action.index, "the index is steps on from the chain");
        memory.reserve(action.key, action.index);
        maybe_die(kill_chance);
        require(keys_.emplace(action.key.epoch, action.key.revision).second,
                "no (epoch, revision) is used twice");
        require(inputs_.emplace(chains_made, action.index, action.key.revision).second,
                "no (chain index, revision) is used twice");
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
        require(action.destroy_at >= now.boot + static_cast<std::uint64_t>(action.open_until - now.wall),
                "a record lives for all of its open window");
        ++derived;
    }

    void act(const daemon::Retire& action, double) {
        std::erase_if(draft_, [&](const auto& record) {
            if (record.key != action.key)
                return false;
            const bool ordered = action.revoked ? memory.is_condemned(record.pair)
                                                : replacing_ && record.not_before > now.wall;
            require(record.destroy_at <= now.boot || !token_pairs.contains(record.pair) || exempt_from_age ||
                        ordered,
                    "no record is destroyed before its age, unless by an order");
            return true;
        });
    }

    void act(const daemon::Publish&, double) { ring = draft_; }

    void act(const daemon::Advance& action, double) {
        require(seals(now.wall) || action.steps > Chain::max_steps_ahead,
                "the ring is in place before the chain key behind it is destroyed");
        require(chain && action.steps > 0, "the chain only goes on");
        require(action.steps <= Chain::max_advance, "the chain goes no further at once than it can");
        chain = ChainPosition{chain->index + action.steps, action.epoch};
    }

    void act(const daemon::DestroyPair& action, double kill_chance) {
        for (const auto& record : ring)
            require(
                record.pair != action.id || record.destroy_at <= now.boot || memory.is_condemned(action.id),
                "no pair is destroyed that the ring names, unless its records have expired or are revoked");
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

    void act(const daemon::Condemn& action, double) { memory.condemned.push_back(action.id); }

    void act(const daemon::Alarm& action, double) { alarms.insert(action.text); }

    std::vector<daemon::RecordView> draft_;
    bool replacing_ = false;
    std::set<std::pair<std::uint64_t, std::uint32_t>> keys_;
    std::set<std::tuple<unsigned, std::uint64_t, std::uint32_t>> inputs_;
    std::mt19937_64 random_;
};

}  // namespace stek::test
