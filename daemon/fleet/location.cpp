#include "daemon/fleet/location.hpp"

#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/list_changes.hpp"
#include "daemon/fleet/origin.hpp"

#include <algorithm>
#include <exception>

namespace stek::fleet {
Location::Location(const Identity& self, KnownLists& lists, Engine& engine, VaultWork& vault,
                   LocationMemory memory, std::function<void(const LocationMemory&)> save)
    : desk_(self, lists, engine, vault, std::move(memory), std::move(save)),
      hours_(desk_),
      records_(desk_, hours_) {}

void Location::run(const daemon::Now& now, const daemon::Policy& policy) {
    desk_.alarms.begin_run();
    std::exception_ptr trouble;
    try {
        work(now, policy);
    } catch (...) {
        trouble = std::current_exception();
    }
    // An engine that cannot be reached must not keep the key of a past hour alive.
    try {
        move_chain_on(now, policy);
    } catch (...) {
        if (!trouble)
            trouble = std::current_exception();
    }
    fill_report(now, policy);
    if (trouble)
        std::rethrow_exception(trouble);
}

void Location::work(const daemon::Now& now, const daemon::Policy& policy) {
    const auto chain_epoch = desk_.vault.chain_epoch();
    if (!chain_epoch) {
        desk_.alarms.raise("the vault of location " + desk_.self.location +
                           " has no chain key: the location's ceremony has not been held here");
        return;
    }
    destroy_pre_keys_before(*chain_epoch);  // ends what a kill may have interrupted
    (void)desk_.lists.refresh(desk_.engine);
    (void)desk_.own_number();
    tend_pre_keys(*chain_epoch, policy.epoch_at(now.wall));
    hours_.look(*chain_epoch, now.wall, policy);
    if (const auto moves = plan_chain(*chain_epoch, hours_.bundles(), now.wall, policy); moves.first)
        move_chain(*moves.first);
    forget_revoked(now, policy);
    records_.serve(now.wall, policy);
    if (const auto time = earliest_time(hours_.bundles(), now.wall, policy, Origin::ahead))
        records_.erase_over(*time, *chain_epoch, policy);
    inherit_list(now.wall);
    // Noise, or an older list that another vault was slow to store, may be in its place.
    store_list(desk_.lists, desk_.engine, desk_.self.location);
}

// Of several vaults one is first, and the others take that one's.
void Location::inherit_list(std::int64_t now) {
    auto& lists = desk_.lists;
    if (!lists.machines_are_by_a_retired_vault())
        return;
    const auto list = with_nothing_changed(*lists.machines(), now);
    (void)issue_list(lists, desk_.engine, list,
                     list_frame(desk_.self.fleet, desk_.own_number(), desk_.self.signing.key.get(), list));
}

// --- the chain ---

void Location::move_chain(std::uint64_t to_epoch) {
    desk_.vault.advance_chain(to_epoch);
    hours_.drop_before(to_epoch);
    destroy_pre_keys_before(to_epoch);
}

void Location::move_chain_on(const daemon::Now& now, const daemon::Policy& policy) {
    const auto chain_epoch = desk_.vault.chain_epoch();
    if (!chain_epoch)
        return;
    const auto moves = plan_chain(*chain_epoch, hours_.bundles(), now.wall, policy);
    if (const auto to = std::max(moves.first, moves.then))
        move_chain(*to);
}

// --- pre-keys ---

void Location::destroy_pre_keys_before(std::uint64_t chain_epoch) {
    for (const auto epoch : desk_.vault.pre_keys())
        if (epoch < chain_epoch)
            desk_.vault.destroy_pre_key(epoch);
}

void Location::tend_pre_keys(std::uint64_t chain_epoch, std::uint64_t now_epoch) {
    const auto bundles = hours_.bundles();
    const auto newest =
        bundles.empty() ? std::nullopt : std::optional<std::uint64_t>(bundles.back().key.epoch);
    const auto plan = plan_pre_keys(now_epoch, chain_epoch, newest, desk_.vault.pre_keys());
    for (const auto epoch : plan.destroy)
        desk_.vault.destroy_pre_key(epoch);
    for (const auto epoch : plan.make)
        (void)desk_.vault.make_pre_key(epoch);
    for (const auto epoch : desk_.vault.pre_keys())
        if (epoch >= std::max(now_epoch, chain_epoch))
            publish_pre_key(epoch);
    erase_pre_keys_that_are_gone();
}

void Location::publish_pre_key(std::uint64_t epoch) {
    const auto name = pre_key_key(desk_.self.name, epoch);
    const auto there = desk_.find(bucket::pre_keys, name);
    const auto published = published_.find(epoch);
    if (there && published != published_.end() && sha256_of(*there) == published->second)
        return;
    auto key = desk_.vault.pre_key(epoch);
    if (!key) {
        // Half of it was made when somebody was killed. It was never published.
        desk_.vault.destroy_pre_key(epoch);
        key = desk_.vault.make_pre_key(epoch);
    }
    const auto own = desk_.own_number();
    const auto frame = desk_.self.sign(Kind::pre_key, own, encode_pre_key({own, epoch, key->point}));
    desk_.engine.put(bucket::pre_keys, name, frame);
    published_[epoch] = sha256_of(frame);
}

// An origin would seal to them, and nobody could open it.
void Location::erase_pre_keys_that_are_gone() {
    const auto there = desk_.vault.pre_keys();
    const auto is_gone = [&](std::uint64_t epoch) { return !std::ranges::binary_search(there, epoch); };
    std::erase_if(published_, [&](const auto& entry) { return is_gone(entry.first); });
    const auto prefix = pre_keys_of(desk_.self.name);
    for (const auto& name : desk_.engine.list(bucket::pre_keys, prefix))
        if (const auto epoch = parse_epoch(name.substr(prefix.size())); epoch && is_gone(*epoch))
            desk_.engine.erase(bucket::pre_keys, name);
}

// --- revoking ---

void Location::revoke(const std::vector<KeyId>& keys, const daemon::Now& now, const daemon::Policy& policy) {
    desk_.alarms.begin_run();
    LocationMemory changed = desk_.memory();
    changed.revoked.insert(keys.begin(), keys.end());
    desk_.remember(std::move(changed));
    for (const KeyId key : keys)
        hours_.drop(key);
    (void)desk_.lists.refresh(desk_.engine);
    records_.serve(now.wall, policy);
    fill_report(now, policy);
}

// Not by the clock alone: what can be derived stays revoked.
void Location::forget_revoked(const daemon::Now& now, const daemon::Policy& policy) {
    const auto chain_epoch = desk_.vault.chain_epoch();
    LocationMemory changed = desk_.memory();
    const auto forgotten = std::erase_if(changed.revoked, [&](KeyId key) {
        return key.epoch < chain_epoch && epoch_window(key.epoch, policy).open_until <= now.wall;
    });
    if (forgotten > 0)
        desk_.remember(std::move(changed));
}

void Location::fill_report(const daemon::Now& now, const daemon::Policy& policy) {
    const auto epoch = policy.epoch_at(now.wall);
    report_.last_epoch = records_.last_epoch();
    report_.machines = records_.machines();
    report_.alarms = desk_.alarms.news();
    report_.pre_keys_left = static_cast<std::size_t>(
        std::ranges::count_if(published_, [epoch](const auto& entry) { return entry.first >= epoch; }));
}

}  // namespace stek::fleet
