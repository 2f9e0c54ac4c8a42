#include "daemon/fleet/origin.hpp"

#include "daemon/fleet/list_changes.hpp"
#include "daemon/fleet/origin_run.hpp"

#include <algorithm>
#include <limits>

namespace stek::fleet {
Origin::Origin(const Identity& self, KnownLists& lists, Engine& engine, BundleStore& store, FillRandom fill)
    : self_(&self), lists_(&lists), engine_(&engine), store_(&store), fill_(std::move(fill)) {}

// An engine that does not give the list is one that holds it back: the newest known one is in force.
void Origin::begin() {
    report_.alarms.clear();
    refused_.reset();
    try {
        (void)lists_->refresh(*engine_);
        if (lists_->fleet() != nullptr)
            engine_->prepare(buckets_of(*lists_->fleet()));
    } catch (const EngineError& error) {
        refused_ = error;
    }
    if (lists_->fleet() == nullptr && refused_)
        throw EngineError(*refused_);
    if (lists_->fleet() == nullptr)
        throw FrameError("origin " + self_->name + " has no list of the fleet yet");
    if (self_->in(*lists_->fleet()) == nullptr)
        throw FrameError("origin " + self_->name + " is not an active one in the fleet's list");
}

void Origin::run(const daemon::Now& now, const daemon::Policy& policy) {
    begin();
    OriginRun run({*self_, *lists_, *engine_, *store_, fill_, report_}, now, policy);
    const auto current = policy.epoch_at(now.wall);
    run.look(current + ahead);
    if (run.engine_had_lost())
        lost_at_ = now.boot;
    const bool others_may_come = lost_at_ && now.boot < *lost_at_ + waited_for_others * policy.period;
    for (auto epoch = current; epoch <= current + ahead; ++epoch)
        run.provide(epoch,
                    others_may_come && epoch != current ? OriginRun::Minting::no : OriginRun::Minting::yes);
    run.tidy();
    run.finish(refused_);
}

void Origin::renew(const daemon::Now& now, const daemon::Policy& policy) {
    begin();
    OriginRun run({*self_, *lists_, *engine_, *store_, fill_, report_}, now, policy);
    // One that a wrong clock has minted for next year would still be for who is retired now.
    run.look(std::numeric_limits<std::uint64_t>::max());
    for (const auto epoch : run.epochs_there())
        run.renew(epoch);
    run.finish(refused_);
}

// An origin whose clock is a year ahead must not take from the locations what they still need. So its own
// clock is not enough, and what other origins sign is the witness: they sign no further ahead than `ahead`.
// Where there is no witness (one origin, or one that always comes first), a week of epochs with a bundle is
// kept, and for its clock to make that many takes a week.
std::uint64_t first_kept_epoch(std::uint64_t current, const std::vector<std::uint64_t>& held,
                               std::optional<std::uint64_t> others) noexcept {
    const auto minus = [](std::uint64_t from, std::uint64_t epochs) {
        return from > epochs ? from - epochs : 0;
    };
    const auto over = static_cast<std::size_t>(std::ranges::lower_bound(held, current) - held.begin());
    const std::uint64_t by_count = over > most_over ? held[over - most_over] : 0;
    const std::uint64_t by_others = others ? minus(*others, Origin::ahead + kept_over) : 0;
    return std::min(minus(current, kept_over), std::max(by_count, by_others));
}

}  // namespace stek::fleet
