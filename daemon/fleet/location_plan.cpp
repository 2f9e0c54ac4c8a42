#include "daemon/fleet/location_plan.hpp"

#include "daemon/fleet/engine_keys.hpp"

#include <algorithm>
#include <limits>
#include <map>

namespace stek::fleet {
namespace {

std::uint64_t plus(std::uint64_t epoch, std::uint64_t ahead) noexcept {
    return epoch > std::numeric_limits<std::uint64_t>::max() - ahead
               ? std::numeric_limits<std::uint64_t>::max()
               : epoch + ahead;
}

std::int64_t plus_seconds(std::int64_t time, std::uint64_t seconds) noexcept {
    constexpr auto latest = std::numeric_limits<std::int64_t>::max();
    return seconds > static_cast<std::uint64_t>(latest - time) ? latest
                                                               : time + static_cast<std::int64_t>(seconds);
}

bool is_wanted(std::uint64_t epoch, std::uint64_t now_epoch) noexcept {
    return epoch >= now_epoch && epoch <= plus(now_epoch, location_ahead);
}

/// Those that neither the clock nor any bundle speaks for, furthest first.
std::vector<std::uint64_t> strays(const std::vector<std::uint64_t>& there, std::uint64_t now_epoch,
                                  std::uint64_t newest_bundle) {
    std::vector<std::uint64_t> found;
    for (const auto epoch : there)
        if (epoch > plus(newest_bundle, location_ahead) && !is_wanted(epoch, now_epoch))
            found.push_back(epoch);
    std::ranges::reverse(found);
    return found;
}

}  // namespace

PreKeyPlan plan_pre_keys(std::uint64_t now_epoch, std::uint64_t chain_epoch,
                         std::optional<std::uint64_t> newest_bundle,
                         const std::vector<std::uint64_t>& there) {
    PreKeyPlan plan;
    for (const auto epoch : there)
        if (epoch < chain_epoch)
            plan.destroy.push_back(epoch);
    for (std::uint64_t epoch = std::max({now_epoch, chain_epoch, std::uint64_t{1}});
         is_wanted(epoch, now_epoch); ++epoch)
        if (!std::ranges::binary_search(there, epoch))
            plan.make.push_back(epoch);
    const auto left = there.size() - plan.destroy.size() + plan.make.size();
    if (left <= most_pre_keys)
        return plan;
    auto excess = left - most_pre_keys;
    if (newest_bundle)
        for (const auto epoch : strays(there, now_epoch, *newest_bundle))
            if (excess > 0) {
                plan.destroy.push_back(epoch);
                --excess;
            }
    // The furthest ahead can wait: until its bundle is made there is more than one run.
    plan.make.resize(plan.make.size() - std::min(excess, plan.make.size()));
    return plan;
}

std::vector<KeyId> bundles_of_interest(const std::vector<std::string>& names, std::uint64_t chain_epoch,
                                       std::uint64_t now_epoch) {
    std::vector<KeyId> found;
    for (const auto& name : names)
        if (const auto key = parse_bundle_key(name);
            key && key->epoch >= chain_epoch && key->epoch <= plus(now_epoch, location_ahead))
            found.push_back(*key);
    std::ranges::sort(found);
    std::map<std::uint64_t, std::size_t> revisions;
    std::erase_if(found, [&](KeyId key) { return revisions[key.epoch]++ >= most_revisions; });
    return found;
}

std::string refuse_window(const VerifiedBundle& bundle, const daemon::Policy& policy) {
    const Window epoch = epoch_window(bundle.key.epoch, policy);
    if (bundle.not_before >= epoch.not_before && bundle.not_after <= epoch.seal_until)
        return {};
    return "its window, " + std::to_string(bundle.not_before) + " to " + std::to_string(bundle.not_after) +
           ", is not within its epoch, " + std::to_string(epoch.not_before) + " to " +
           std::to_string(epoch.seal_until) + ": is the period the origin's?";
}

ChainMoves plan_chain(std::uint64_t chain_epoch, std::span<const VerifiedBundle> bundles, std::int64_t now,
                      const daemon::Policy& policy) {
    std::optional<std::uint64_t> oldest_of_use, newest_begun;
    for (const VerifiedBundle& bundle : bundles) {
        if (bundle.not_before > now || bundle.key.epoch < chain_epoch)
            continue;
        newest_begun = std::max(newest_begun.value_or(0), bundle.key.epoch);
        if (now < plus_seconds(bundle.not_after, policy.session_timeout))
            oldest_of_use = std::min(oldest_of_use.value_or(bundle.key.epoch), bundle.key.epoch);
    }
    ChainMoves moves;
    if (oldest_of_use && *oldest_of_use > chain_epoch)
        moves.first = oldest_of_use;
    if (newest_begun && *newest_begun > std::max(chain_epoch, moves.first.value_or(0)))
        moves.then = newest_begun;
    return moves;
}

std::optional<std::int64_t> earliest_time(std::span<const VerifiedBundle> bundles, std::int64_t now,
                                          const daemon::Policy& policy, std::uint64_t origin_ahead) {
    if (bundles.empty())
        return {};
    const auto newest = std::ranges::max(bundles, {}, &VerifiedBundle::not_before).not_before;
    const auto ahead = static_cast<std::int64_t>(origin_ahead * policy.period);
    return std::min(now, std::max<std::int64_t>(newest - ahead, 0));
}

std::optional<Window> record_window(const VerifiedBundle& bundle, bool superseded, std::int64_t now,
                                    const daemon::Policy& policy) {
    Window window{bundle.not_before, bundle.not_after,
                  plus_seconds(bundle.not_after, policy.session_timeout)};
    if (now >= window.open_until || (superseded && now < bundle.not_before))
        return {};
    // A later revision seals from when it is there, not from when its epoch began.
    if (bundle.key.revision > 0)
        window.not_before = std::clamp(now, bundle.not_before, bundle.not_after);
    if (superseded)
        window.seal_until = std::clamp(now, window.not_before, bundle.not_after);
    return window;
}

Window epoch_window(std::uint64_t epoch, const daemon::Policy& policy) {
    constexpr auto latest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    const auto begin = epoch > latest / policy.period ? latest : epoch * policy.period;
    const auto not_before = static_cast<std::int64_t>(begin);
    const auto seal_until = plus_seconds(not_before, policy.period);
    return {not_before, seal_until, plus_seconds(seal_until, policy.session_timeout)};
}

}  // namespace stek::fleet
