#include "daemon/fleet/location_pairs.hpp"

#include "daemon/fleet/engine_keys.hpp"

#include <algorithm>
#include <iterator>

namespace stek::fleet {

void PairShelf::begin_run(std::uint64_t first_epoch) {
    const PartyList* list = desk_->lists.machines();
    if (const auto serial = list != nullptr ? list->serial : 0; serial != serial_) {
        seen_.clear();
        serial_ = serial;
    }
    const auto names = desk_->engine.list(desk_->bucket(), all_pairs);
    offered_ = {names.begin(), names.end()};
    look_at_those_before(first_epoch);
    std::erase_if(seen_, [this](const auto& entry) { return !offered_.contains(entry.first); });
    for (auto& [name, seen] : seen_)
        seen.is_fresh = false;
}

// What its machine has erased is only marked so in an engine where a machine may do no more, and would be
// listed for a day: it goes when somebody who may purge reads it.
void PairShelf::look_at_those_before(std::uint64_t first_epoch) {
    std::vector<std::string> names;
    std::ranges::copy_if(offered_, std::back_inserter(names), [first_epoch](const auto& name) {
        const auto epoch = parse_epoch(name.substr(name.rfind('.') + 1));
        return epoch && *epoch < first_epoch;
    });
    desk_->engine.read_ahead(desk_->bucket(), names);
    for (const auto& name : names)
        (void)desk_->find(desk_->bucket(), name);
}

void PairShelf::read_ahead(std::span<const Party* const> machines, std::uint64_t first_epoch) {
    std::vector<std::string> names;
    for (const Party* machine : machines) {
        auto name = pair_key(machine->name, first_epoch);
        const auto seen = seen_.find(name);
        if (offered_.contains(name) && (seen == seen_.end() || !seen->second.is_fresh))
            names.push_back(std::move(name));
    }
    desk_->engine.read_ahead(desk_->bucket(), names);
}

const MachinePair* PairShelf::of(const Party& machine, std::uint64_t first_epoch) {
    const auto name = pair_key(machine.name, first_epoch);
    if (!offered_.contains(name))
        return nullptr;
    Seen& seen = seen_[name];
    if (!seen.is_fresh)
        look(name, machine, first_epoch, seen);
    seen.is_fresh = true;
    return seen.is_good ? &seen.pair : nullptr;
}

void PairShelf::look(const std::string& name, const Party& machine, std::uint64_t first_epoch, Seen& seen) {
    const auto value = desk_->find(desk_->bucket(), name);
    if (!value) {
        seen = {};
        return;
    }
    const Digest digest = sha256_of(*value);
    if (digest == seen.value)
        return;
    seen = {digest, false, false, {}};
    try {
        seen.pair = open(*value, machine, first_epoch);
        seen.is_good = true;
    } catch (const FrameError& error) {
        desk_->alarms.raise(name + " is not used: " + error.what());
    }
}

MachinePair PairShelf::open(Bytes frame, const Party& machine, std::uint64_t first_epoch) const {
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
