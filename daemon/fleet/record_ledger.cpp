#include "daemon/fleet/record_ledger.hpp"

#include "daemon/fleet/engine_keys.hpp"

#include <algorithm>
#include <numeric>

namespace stek::fleet {

RecordLedger::Mark RecordLedger::mark_of(Bytes frame) {
    Mark mark;
    std::ranges::copy(Bytes(sha256_of(frame)).first(mark.size()), mark.begin());
    return mark;
}

bool RecordLedger::begin_run(const Premises& premises, std::span<const Party> machines,
                             std::span<const daemon::KeyId> keys, const std::vector<std::string>& names) {
    const auto name_at = [machines](std::size_t at) -> const std::string& { return machines[at].name; };
    const bool is_new = premises != premises_;
    if (is_new) {
        entries_.clear();
        by_name_.resize(machines.size());
        std::iota(by_name_.begin(), by_name_.end(), std::size_t{0});
        std::ranges::sort(by_name_, {}, name_at);
        premises_ = premises;
    }
    std::erase_if(entries_,
                  [keys](const auto& entry) { return !std::ranges::binary_search(keys, entry.first); });
    std::map<daemon::KeyId, std::vector<bool>> there;
    for (const auto key : keys) {
        entries_[key].resize(machines.size());
        there[key].resize(machines.size());
    }
    for (const auto& name : names) {
        const auto record = parse_record_key(name);
        const auto of_key = record ? there.find(record->key) : there.end();
        if (of_key == there.end())
            continue;
        const auto at = std::ranges::lower_bound(by_name_, record->machine, {}, name_at);
        if (at != by_name_.end() && name_at(*at) == record->machine)
            of_key->second[*at] = true;
    }
    for (auto& [key, of_key] : entries_)
        for (std::size_t at = 0; at < of_key.size(); ++at)
            if (!there[key][at])
                of_key[at] = {};
            else if (of_key[at].state == State::absent)
                of_key[at].state = State::unread;
    return is_new;
}

}  // namespace stek::fleet
