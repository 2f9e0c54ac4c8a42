// Which records a machine takes.
#include "daemon/fleet/machine_plan.hpp"
#include "daemon/fleet/machine_terms.hpp"
#include "provider/rsa_spki.hpp"

#include <algorithm>

namespace stek::fleet {
namespace {

using daemon::Now;
using daemon::Policy;
using Answer = std::optional<Refusal>;

Answer suspect(std::string why) {
    return Refusal{std::move(why), true};
}
/// What an honest fleet brings about after a reboot, an hour's sleep or a clock that was set.
Answer pass_over(std::string why) {
    return Refusal{std::move(why), false};
}

Answer refuse_address(const MachineRecord& record, const MachineWorld& world) {
    if (record.machine != world.own)
        return suspect("it is for machine " + std::to_string(record.machine));
    if (record.location != world.location)
        return suspect("it is for location " + record.location);
    return {};
}

// A vault counts its records, so an older one of the same key is a replay: perhaps of a key that was revoked
// since, or wrapped to a pair that others have by now.
Answer refuse_counter(const SignedRecord& record, const KnownKey& known) {
    const auto before = known.taken.find(record.vault);
    if (before == known.taken.end())
        return {};
    if (record.record.counter < before->second.counter)
        return suspect("a replay: counter " + std::to_string(record.record.counter) + " after " +
                       std::to_string(before->second.counter));
    if (record.record.counter == before->second.counter && record.hash != before->second.record)
        return suspect("another record had counter " + std::to_string(record.record.counter));
    return {};
}

Answer refuse_time(const MachineRecord& record, const KnownKey* known, const Now& now, const Policy& policy) {
    if (record.open_until <= now.wall)
        return pass_over("it is over");
    if (record.not_before - now.wall > lead(policy))
        return pass_over("its time is far off");
    if (known != nullptr && known->gone_by && *known->gone_by <= now.boot)
        return pass_over("its time is over, whatever the clock says");
    return {};
}

/// The very record that was taken before: it has fitted its pair then.
bool was_taken(const SignedRecord& record, const KnownKey* known) {
    if (known == nullptr)
        return false;
    const auto taken = known->taken.find(record.vault);
    return taken != known->taken.end() && taken->second.record == record.hash;
}

Answer refuse_pair(const MachineRecord& record, const MachineWorld& world) {
    const auto* pair = world.memory.find(record.pair);
    if (pair == nullptr || std::ranges::count(world.token_pairs, record.pair) == 0)
        return pass_over("the pair that it is wrapped to is not there");
    if (record.oaep != world.oaep)
        return suspect("it is wrapped with another OAEP hash than was offered");
    return {};
}

Answer refuse_size(const MachineRecord& record, const OwnPair& pair) {
    const auto size = rsa_numbers_of(pair.public_key).modulus.size();
    if (record.wrapped_key.size() != static_cast<std::size_t>(size))
        return suspect("a wrapped key of " + std::to_string(record.wrapped_key.size()) +
                       " bytes for a pair of " + std::to_string(size));
    return {};
}

}  // namespace

Answer refuse_record(const SignedRecord& record, const MachineWorld& world, const Now& now,
                     const Policy& policy) {
    const auto& content = record.record;
    if (auto refusal = refuse_address(content, world); refusal || content.revoked)
        return refusal;
    if (content.period != policy.period)
        return suspect("its location's period is " + std::to_string(content.period) + " s, here it is " +
                       std::to_string(policy.period) + " s");
    const auto* known = world.memory.find(content.key);
    if (known != nullptr && known->revoked)
        return suspect("its key is revoked");
    if (known != nullptr)
        if (auto refusal = refuse_counter(record, *known))
            return refusal;
    if (auto refusal = refuse_time(content, known, now, policy))
        return refusal;
    if (auto refusal = refuse_pair(content, world); refusal || was_taken(record, known))
        return refusal;
    return refuse_size(content, *world.memory.find(content.pair));
}

bool is_at_hand(const MachineRecord& record, const MachineWorld& world) noexcept {
    return std::ranges::any_of(world.ring->records, [&](const auto& held) {
        return key_of(*held) == record.key && held->name == record.name &&
               world.memory.find(held->pair) != nullptr &&
               std::ranges::count(world.token_pairs, held->pair) != 0;
    });
}

std::uint64_t destroy_at(const MachineRecord& record, const Now& now) noexcept {
    // Both clocks are whole seconds, each up to one behind: one more, so that it is never early.
    return now.boot + static_cast<std::uint64_t>(record.open_until - now.wall) + 1;
}

}  // namespace stek::fleet
