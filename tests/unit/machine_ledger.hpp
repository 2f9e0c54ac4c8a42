// What a machine's ring must and must not do, in books of their own: nothing here is taken from the machine's
// word but what servers see.
#pragma once

#include "machine_scene.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>

namespace stek::test {

class MachineLedger {
  public:
    explicit MachineLedger(MachineScene& scene) : scene_(scene) {
        scene_.ticket.before_destroying = [this](const PairId& id) { destroying(id); };
    }

    void lose_ring() { held_.clear(); }
    void reboot() {
        held_.clear();
        ends_.clear();
    }
    /// Signed and left in the engine, which may yet lose it.
    void revoked(daemon::KeyId key) { ordered_.insert(key); }

    /// After each run.
    void look() {
        std::map<daemon::KeyId, PairId> now;
        if (scene_.ticket.ring)
            for (const auto& record : scene_.ticket.ring->records) {
                const daemon::KeyId key{record->epoch, record->revision};
                now[key] = record->pair;
                if (!held_.contains(key))
                    taken(key, *record);
            }
        for (const auto& [key, pair] : held_)
            require(now.contains(key) || is_over(key) || !scene_.ticket.held.contains(pair),
                    "no record leaves before its age while its pair is there");
        held_ = now;
        for (const auto& [key, known] : scene_.machine->memory().keys)
            require(!known.revoked || ordered_.contains(key), "nothing is revoked that no vault has revoked");
    }

    /// After a run that nothing disturbed.
    void check_rest() {
        require(scene_.ticket.ring != nullptr, "a ring is there");
        if (!scene_.ticket.ring)
            return;
        std::set<PairId> needed;
        for (const auto& record : scene_.ticket.ring->records) {
            require(record->destroy_at > scene_.now.boot, "no record outlives its age");
            require(scene_.ticket.held.contains(record->pair), "each record's pair is there");
            require(!scene_.machine->memory().is_revoked({record->epoch, record->revision}),
                    "nothing revoked is in the ring");
            needed.insert(record->pair);
        }
        for (const auto* pair : fleet::pairs_to_offer(scene_.now, scene_.policy, scene_.machine->memory()))
            needed.insert(pair->id);
        require(needed == scene_.ticket.held, "no pair is there that nothing needs, none is missing");
        if (!scene_.engine.down)
            require(scene_.offers().size() == fleet::wanted_slots(scene_.now, scene_.policy).size(),
                    "each pair is offered");
        if (const auto key = newest_for_now())
            require(scene_.sealing() != nullptr &&
                        *key <= daemon::KeyId{scene_.sealing()->epoch, scene_.sealing()->revision},
                    "there is a key to seal with when a record for now is at hand");
        const auto generation = scene_.ticket.ring->generation;
        require(generation >= generation_, "generations rise");
        generation_ = generation;
    }

    std::set<std::string> violations;

  private:
    void require(bool holds, const char* invariant) {
        if (!holds)
            violations.insert(invariant);
    }

    /// Seconds that a record may have to live, at most: it is taken no more than four pairs' time ahead.
    [[nodiscard]] std::uint64_t longest_life(const RingRecord& record) const {
        return static_cast<std::uint64_t>(record.open_until - record.not_before) +
               4 * scene_.policy.pair_period() + 1;
    }

    void taken(daemon::KeyId key, const RingRecord& record) {
        // Not taken again, but put back by the process that published it before the ring was lost.
        if (const auto before = ends_.find(key); before != ends_.end() && before->second == record.destroy_at)
            return;
        const auto boot = scene_.now.boot;
        const auto left = record.open_until - scene_.now.wall;
        require(left > 0, "nothing is taken that is over");
        const auto end = boot + static_cast<std::uint64_t>(std::max<std::int64_t>(left, 0)) + 1;
        const auto last =
            gone_by_.try_emplace({scene_.ticket.boot, key}, boot + longest_life(record)).first->second;
        require(record.destroy_at <= end, "a record lives no longer than its open window");
        require(record.destroy_at <= last, "a key that comes again and again lives no longer for it");
        require(record.destroy_at == std::min(end, last) || ends_.contains(key),
                "a record lives for all of its open window");
        ends_[key] = record.destroy_at;
    }
    [[nodiscard]] bool is_over(daemon::KeyId key) const { return ends_.at(key) <= scene_.now.boot; }

    void destroying(const PairId& id) {
        if (!scene_.ticket.ring || scene_.ticket.ring->token_serial != scene_.ticket.serial)
            return;
        bool may = true, revoked = false;
        for (const auto& record : scene_.ticket.ring->records)
            if (record->pair == id) {
                may &= record->destroy_at <= scene_.now.boot;
                revoked |= ordered_.contains({record->epoch, record->revision});
            }
        require(may || revoked, "no pair is destroyed that the ring names, unless all is over or revoked");
    }

    /// The newest key for now of which the engine has a record that can be used.
    [[nodiscard]] std::optional<daemon::KeyId> newest_for_now() {
        std::optional<daemon::KeyId> newest;
        if (scene_.engine.down)
            return newest;
        for (const auto& [name, frame] : scene_.values()) {
            if (!name.starts_with("record."))
                continue;
            const auto record = fleet::decode_record(
                Bytes(frame).subspan(fleet::frame_head_size, frame.size() - fleet::frame_overhead));
            const auto& memory = scene_.machine->memory();
            const auto last = gone_by_.find({scene_.ticket.boot, record.key});
            if (!record.revoked && !memory.is_revoked(record.key) && record.not_before <= scene_.now.wall &&
                scene_.now.wall < record.seal_until && memory.find(record.pair) != nullptr &&
                (last == gone_by_.end() || scene_.now.boot < last->second))
                newest = std::max(newest.value_or(record.key), record.key);
        }
        return newest;
    }

    MachineScene& scene_;
    std::map<daemon::KeyId, PairId> held_;         ///< in the ring, as last seen
    std::map<daemon::KeyId, std::uint64_t> ends_;  ///< of this boot
    std::map<std::pair<std::string, daemon::KeyId>, std::uint64_t> gone_by_;
    std::set<daemon::KeyId> ordered_;
    std::uint64_t generation_ = 0;
};

}  // namespace stek::test
