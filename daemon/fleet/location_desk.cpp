#include "daemon/fleet/location_desk.hpp"

#include <limits>
#include <stdexcept>

namespace stek::fleet {
namespace {

// Some of the texts are by what an engine shows, which may show something else for ever.
constexpr std::size_t most_told = 1000;
// Durable writes are slow: one for a thousand machines.
constexpr std::uint64_t counter_block = 1024;

}  // namespace

void Alarms::raise(const std::string& text) {
    if (told_.size() >= most_told)
        told_.clear();
    if (told_.insert(text).second)
        news_.push_back(text);
}

LocationDesk::LocationDesk(const Identity& who, KnownLists& known, Engine& where, VaultWork& token,
                           LocationMemory memory, std::function<void(const LocationMemory&)> save)
    : self(who),
      lists(known),
      engine(where),
      vault(token),
      memory_(std::move(memory)),
      save_(std::move(save)),
      next_counter_(memory_.counter + 1) {}

void LocationDesk::remember(LocationMemory changed) {
    save_(changed);
    memory_ = std::move(changed);
}

std::uint64_t LocationDesk::next_counter() {
    if (memory_.counter > std::numeric_limits<std::uint64_t>::max() - counter_block)
        throw std::overflow_error("all counters of records are used");
    if (next_counter_ > memory_.counter) {
        LocationMemory changed = memory_;
        changed.counter = next_counter_ + counter_block - 1;
        remember(std::move(changed));
    }
    return next_counter_++;
}

PartyNumber LocationDesk::own_number() const {
    const PartyList* list = lists.fleet();
    if (list == nullptr)
        throw FrameError("list: there is none of the fleet yet");
    const Party* own = self.in(*list);
    if (own == nullptr)
        throw FrameError("list: vault " + self.name + " of location " + self.location +
                         " is not in the fleet's, or not with its keys, or retired");
    return own->number;
}

std::optional<std::vector<std::uint8_t>> LocationDesk::find(const std::string& bucket,
                                                            const std::string& key) {
    try {
        return engine.get(bucket, key);
    } catch (const OversizedValue& error) {
        alarms.raise(key + " is not used: " + error.what());
        return {};
    }
}

}  // namespace stek::fleet
