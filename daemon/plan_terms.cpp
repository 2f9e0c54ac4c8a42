// Periods, epochs and numbers: what the plan counts in.
#include "daemon/plan.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace stek::daemon {

unsigned Policy::ahead() const noexcept {
    return static_cast<unsigned>(std::clamp<std::uint64_t>((max_ahead + period - 1) / period, 1, max_ahead));
}

std::uint64_t Policy::pair_period() const noexcept {
    return std::max(period, shortest_pair_period);
}

std::uint64_t Policy::epoch_at(std::int64_t wall) const noexcept {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(wall, 0)) / period;
}

std::int64_t Policy::pair_slot(std::uint64_t epoch) const noexcept {
    const auto begin = epoch * period;
    return static_cast<std::int64_t>(begin - begin % pair_period());
}

std::uint64_t Policy::records_alive() const noexcept {
    return (session_timeout + period - 1) / period + 2 + ahead();
}

KeyId Memory::next(std::uint64_t epoch) const {
    if (!highest_epoch || epoch > *highest_epoch)
        return {epoch, 0};
    if (highest_revision == std::numeric_limits<std::uint32_t>::max())
        throw std::overflow_error("all revisions are used; make a new instance");
    return {epoch, highest_revision + 1};
}

void Memory::reserve(KeyId key) noexcept {
    highest_epoch = std::max(highest_epoch.value_or(0), key.epoch);
    highest_revision = std::max(highest_revision, key.revision);
}

void Memory::reserve(KeyId key, std::uint64_t index) noexcept {
    reserve(key);
    if (highest_index && *highest_index > index)
        return;
    highest_index = index;
    index_epoch = key.epoch;
}

bool Memory::made_since_rotation(KeyId key) const noexcept {
    return !rotated_past || key.epoch > rotated_past->epoch || key.revision > rotated_past->revision;
}

bool Memory::is_condemned(const PairId& id) const noexcept {
    return std::find(condemned.begin(), condemned.end(), id) != condemned.end();
}

}  // namespace stek::daemon
