#include "daemon/fleet/location_pairs.hpp"

#include "daemon/fleet/engine_keys.hpp"

#include <algorithm>

namespace stek::fleet {

void OfferedPairs::begin_run(const Digest& list, std::uint64_t first_epoch) {
    if (list != list_) {
        judged_.clear();
        list_ = list;
    }
    judged_.erase(judged_.begin(), judged_.lower_bound(first_epoch));
    look_at_those_before(first_epoch);
}

// What its machine has erased is only marked so in an engine where a machine may do no more, and would be
// listed for a day: it goes when somebody who may purge reads it.
void OfferedPairs::look_at_those_before(std::uint64_t first_epoch) {
    auto names = desk_->engine.list(desk_->bucket(), all_pairs);
    std::erase_if(names, [first_epoch](const auto& name) {
        const auto epoch = parse_epoch(std::string_view(name).substr(name.rfind('.') + 1));
        return !epoch || *epoch >= first_epoch;
    });
    in_blocks(std::span(names), read_together, [this](std::span<std::string> block) {
        desk_->engine.read_ahead(desk_->bucket(), {block.begin(), block.end()});
        for (const auto& name : block)
            (void)desk_->find(desk_->bucket(), name);
    });
}

void OfferedPairs::read_ahead(std::span<const ListedMachine> machines, std::uint64_t first_epoch) {
    std::vector<std::string> names;
    names.reserve(machines.size());
    for (const auto& machine : machines)
        names.push_back(pair_key(machine.party->name, first_epoch));
    desk_->engine.read_ahead(desk_->bucket(), names);
}

std::optional<MachinePair> OfferedPairs::other_than(const PairId* known, const ListedMachine& machine,
                                                    std::uint64_t first_epoch) {
    const auto name = pair_key(machine.party->name, first_epoch);
    const auto frame = desk_->find(desk_->bucket(), name);
    if (!frame)
        return {};
    auto& of_epoch = judged_[first_epoch];
    of_epoch.resize(std::max(of_epoch.size(), machine.at + 1));
    Judged& judged = of_epoch[machine.at];
    try {
        (void)peek_frame(*frame, Kind::pair, desk_->self.fleet);
        if (known != nullptr && peek_pair_id(body_of(*frame)) == *known)
            return {};
        if (const auto digest = sha256_of(*frame); judged.frame != digest) {
            judged = {digest, false};
            auto pair = open(*frame, *machine.party, first_epoch);
            judged.is_good = true;
            return pair;
        }
        return judged.is_good ? std::optional(decode_pair(body_of(*frame))) : std::nullopt;
    } catch (const FrameError& error) {
        desk_->alarms.raise(name + " is not used: " + error.what());
    }
    return {};
}

MachinePair OfferedPairs::open(Bytes frame, const Party& machine, std::uint64_t first_epoch) const {
    const Party* signer = nullptr;
    const Bytes body = desk_->lists.open(frame, Kind::pair, Role::machine, desk_->self.location, signer);
    // Else one machine could have the keys of all wrapped to a pair of its own.
    if (signer->number != machine.number)
        throw FrameError("it is signed by machine " + signer->name);
    MachinePair pair = decode_pair(body);
    if (pair.machine != machine.number || pair.location != desk_->self.location || pair.epoch != first_epoch)
        throw FrameError("it is a pair of machine " + std::to_string(pair.machine) + " at " + pair.location +
                         " for epoch " + std::to_string(pair.epoch));
    return pair;
}

}  // namespace stek::fleet
