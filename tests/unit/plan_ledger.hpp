// What a location has made, in books of their own: what each key was made of, when it must be gone, and when
// each pair was made. Nothing here is taken from the plan's word.
#pragma once

#include "daemon/plan.hpp"

#include <map>
#include <set>
#include <tuple>
#include <utility>

namespace stek::test {

/// All that a STEK is a function of, but its hourly key.
struct KeyInputs {
    unsigned chain = 0;  ///< the how manieth chain key made from nothing
    std::uint64_t index = 0;
    std::uint32_t revision = 0;
    auto operator<=>(const KeyInputs&) const = default;
};

class PlanLedger {
  public:
    /// False if the name or the inputs were used before.
    bool key_is_new(daemon::KeyId key, const KeyInputs& inputs) {
        const bool new_name = made_of_.emplace(key, inputs).second;
        return inputs_.insert(inputs).second && new_name;
    }

    /// False if the key of this name was made of something else before.
    bool key_is_the_same(daemon::KeyId key, const KeyInputs& inputs) {
        return made_of_.emplace(key, inputs).first->second == inputs;
    }

    /// False if this index of the chain served another epoch before.
    bool index_serves(const KeyInputs& inputs, std::uint64_t epoch) {
        return epochs_.emplace(std::pair(inputs.chain, inputs.index), epoch).first->second == epoch;
    }

    /// The second of CLOCK_BOOTTIME at which the record has to go: when its open window ends by a right
    /// clock, and one more, for both clocks are up to a second behind.
    void record_ends(daemon::KeyId key, std::uint64_t boot) { ends_[key] = boot; }
    [[nodiscard]] std::uint64_t end_of(daemon::KeyId key) const {
        const auto found = ends_.find(key);
        return found == ends_.end() ? 0 : found->second;
    }

    void pair_made(const PairId& id, const daemon::KnownPair& pair) { pairs_[id] = pair; }
    /// None: a pair of another boot, or one that was never made here.
    [[nodiscard]] std::optional<daemon::KnownPair> pair(const PairId& id) const {
        const auto found = pairs_.find(id);
        return found == pairs_.end() ? std::nullopt : std::optional(found->second);
    }

    void reboot() {
        ends_.clear();
        pairs_.clear();
    }

    /// Without its state a location cannot know what it has made; only chance, in the hourly key, helps then.
    void lose_state() {
        made_of_.clear();
        inputs_.clear();
        epochs_.clear();
    }

  private:
    std::map<daemon::KeyId, KeyInputs> made_of_;
    std::set<KeyInputs> inputs_;
    std::map<std::pair<unsigned, std::uint64_t>, std::uint64_t> epochs_;
    std::map<daemon::KeyId, std::uint64_t> ends_;
    std::map<PairId, daemon::KnownPair> pairs_;
};

}  // namespace stek::test
