// What must hold of a location whenever the plan has come to rest, by name.
#pragma once

#include "plan_world.hpp"

namespace stek::test {

class PlanAtRest {
  public:
    /// Adds to world.violations.
    static void check(PlanWorld& world) {
        PlanAtRest rest(world);
        rest.keys();
        rest.chain();
        rest.records();
        rest.pairs();
        rest.wakes();
    }

  private:
    explicit PlanAtRest(PlanWorld& world) : world_(world), policy_(world.policy), now_(world.now) {}

    [[nodiscard]] std::int64_t begin_of(std::uint64_t epoch) const {
        return static_cast<std::int64_t>(epoch * policy_.period);
    }

    void keys() const {
        const auto current = world_.epoch();
        for (auto epoch = current; epoch <= current + policy_.ahead(); ++epoch) {
            if (!world_.can_have_key(epoch))
                continue;
            const auto first = world_.sealing(std::max(begin_of(epoch), now_.wall));
            world_.require(first && world_.sealing(begin_of(epoch + 1) - 1),
                           epoch == current ? "there is a key to seal with when there can be"
                                            : "there is a key for each epoch ahead when there can be");
            if (!world_.hourly.made_here)
                world_.require(holds(*world_.delivered(epoch)), "the newest hourly key at hand is used");
        }
    }

    void chain() const {
        if (world_.hourly.made_here && now_.wall >= 0)
            world_.require(world_.chain && world_.chain->epoch == world_.epoch(),
                           "the chain stands at this epoch");
        if (!world_.hourly.made_here && world_.can_have_key(world_.epoch()))
            world_.require(world_.chain->epoch == world_.epoch(), "the chain follows its origin");
    }

    void records() const {
        std::set<daemon::KeyId> names;
        // Before 1970 no ring can be published; that its records are dead is seen in the pairs.
        for (const auto& record : world_.ring) {
            world_.require(names.insert(record.key).second, "the ring has each (epoch, revision) once");
            if (now_.wall < 0)
                continue;
            world_.require(world_.ledger.end_of(record.key) > now_.boot, "no record outlives its time");
            world_.require(record.destroy_at <= now_.boot + longest_life(),
                           "no record will outlive the longest life there is");
            world_.require(world_.token_pairs.contains(record.pair), "what the ring names is in the token");
        }
        world_.require(world_.ring.size() <= max_ring_records, "the ring has room for all");
    }

    // Another boot's ring has lost its ages; the plan lets it live for ten of the epochs ahead of it.
    [[nodiscard]] std::uint64_t longest_life() const {
        return (daemon::Policy::max_ahead + 1) * policy_.period + policy_.session_timeout + 1;
    }

    void pairs() const {
        std::set<std::int64_t> waiting;
        for (const auto& id : world_.token_pairs) {
            const auto names = [&](const auto& record) { return record.pair == id; };
            const auto lives = [&](const auto& record) {
                return names(record) && world_.ledger.end_of(record.key) > now_.boot;
            };
            if (std::ranges::any_of(world_.ring, lives))
                continue;
            // Before 1970 nobody can say which pairs are for now; only those of expired records go.
            if (now_.wall < 0 && std::ranges::none_of(world_.ring, names))
                continue;
            const auto pair = world_.ledger.pair(id);
            world_.require(pair.has_value(), "no pair of another boot stays, and no stray");
            if (!pair)
                continue;
            constexpr std::uint64_t lead = 60;
            world_.require(now_.boot - pair->made_at <= 2 * policy_.pair_period() + lead,
                           "no pair outlives what was wrapped to it, nor waits for longer than two periods");
            if (now_.wall < 0)
                continue;
            const auto last =
                begin_of(world_.epoch() + policy_.ahead() + 1) + static_cast<std::int64_t>(lead);
            world_.require(pair->slot >= policy_.pair_slot(world_.epoch()) && pair->slot <= last,
                           "a pair that waits is for now or soon");
            world_.require(waiting.insert(pair->slot).second, "one pair waits for a time, not more");
        }
    }

    void wakes() const {
        const auto plan = daemon::plan(now_, policy_, world_.seen());
        if (now_.wall < 0)
            return;
        world_.require(plan.rests(), "done twice is done once");
        world_.require(plan.next_edge == begin_of(world_.epoch() + 1), "the plan wakes at the next edge");
        std::optional<std::uint64_t> next;
        for (const auto& record : world_.ring)
            next = std::min(next.value_or(record.destroy_at), world_.ledger.end_of(record.key));
        world_.require(plan.next_destruction == next, "the plan wakes when the next record ends");
    }

    [[nodiscard]] bool holds(daemon::KeyId key) const {
        return std::ranges::any_of(world_.ring, [&](const auto& record) { return record.key == key; });
    }

    PlanWorld& world_;
    const daemon::Policy& policy_;
    const daemon::Now& now_;
};

}  // namespace stek::test
