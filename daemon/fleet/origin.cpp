#include "daemon/fleet/origin.hpp"

#include "daemon/log.hpp"

#include <algorithm>

namespace stek::fleet {
namespace {

using daemon::KeyId;
using daemon::Now;
using daemon::Policy;
using State = BundleStore::State;

std::int64_t begins(std::uint64_t epoch, const Policy& policy) {
    return static_cast<std::int64_t>(epoch * policy.period);
}

}  // namespace

Origin::Origin(const Identity& self, KnownLists& lists, Engine& engine, BundleStore& store, Random random)
    : self_(&self), lists_(&lists), engine_(&engine), store_(&store), random_(std::move(random)) {}

void Origin::run(const Now& now, const Policy& policy) {
    const auto own = begin();
    const auto current = policy.epoch_at(now.wall);
    take_others(current, policy);
    for (auto epoch = current; epoch <= current + ahead; ++epoch)
        settle({epoch, 0}, own, policy);
    // Renewed ones as well, which the engine may have lost.
    for (const auto& [key, held] : std::map(store_->held()))
        if (key.epoch >= current && key.revision > 0)
            settle(key, own, policy);
    drop_over(current);
}

void Origin::renew(const Now& now, const Policy& policy) {
    const auto own = begin();
    const auto current = policy.epoch_at(now.wall);
    take_others(current, policy);
    for (auto epoch = current; epoch <= current + ahead; ++epoch) {
        std::uint32_t revision = 0;
        for (const auto& [key, held] : store_->held())
            if (key.epoch == epoch)
                revision = std::max(revision, key.revision + 1);
        settle({epoch, revision}, own, policy);
    }
}

PartyNumber Origin::begin() {
    lists_->refresh(*engine_);
    const auto* list = lists_->fleet();
    if (list == nullptr)
        throw FrameError("there is no list of the fleet yet: " + engine_->name() + " has none");
    const auto* own = self_->in(*list);
    if (own == nullptr)
        throw FrameError("origin " + self_->name + " is not in the fleet's list with these keys, or retired");
    return own->number;
}

void Origin::settle(KeyId key, PartyNumber own, const Policy& policy) {
    const auto* held = store_->find(key);
    if (held == nullptr) {
        // Durable before anybody sees it: killed here, the next run offers this one, not another.
        store_->keep(key, mint(key, own, policy), State::pending);
        held = store_->find(key);
    }
    offer(key, std::vector(held->frame), policy);
    report_.newest_epoch = std::max(report_.newest_epoch, key.epoch);
}

void Origin::offer(KeyId key, Bytes frame, const Policy& policy) {
    if (engine_->create(bucket::hourly, engine_key(key), frame)) {
        if (store_->find(key)->state == State::pending)
            daemon::log(LOG_INFO, "hourly key " + engine_key(key) + " published");
        store_->keep(key, frame, State::settled);
        return;
    }
    if (const auto found = engine_->get(bucket::hourly, engine_key(key)))
        meet(key, *found, policy);
}

// What the engine has under a key for which a bundle is held here.
void Origin::meet(KeyId key, Bytes found, const Policy& policy) {
    const auto held = *store_->find(key);
    if (std::ranges::equal(found, held.frame)) {
        if (held.state == State::pending)
            store_->keep(key, found, State::settled);
        return;
    }
    // Who may write to the engine could stop the fleet with a single byte of noise under each key, if that
    // were respected as the first. What no origin has signed, no location has taken.
    if (const auto why = why_not_good(key, found, policy); !why.empty()) {
        alarm("what the engine has as bundle " + engine_key(key) + " is none and is replaced: " + why);
        engine_->put(bucket::hourly, engine_key(key), held.frame);
        store_->keep(key, held.frame, State::settled);
        return;
    }
    if (held.state == State::pending) {
        store_->keep(key, found, State::settled);
        return;
    }
    // Locations have pinned one of the two; to replace it would make the others alarm as well.
    alarm("the engine has another bundle " + engine_key(key) + " than the one that was published first");
}

void Origin::take_others(std::uint64_t current, const Policy& policy) {
    for (const auto& name : engine_->list(bucket::hourly, "")) {
        const auto key = parse_engine_key(name);
        if (!key || key->epoch < current || key->epoch > current + ahead || store_->find(*key) != nullptr)
            continue;
        const auto found = engine_->get(bucket::hourly, name);
        if (found && why_not_good(*key, *found, policy).empty())
            store_->keep(*key, *found, State::settled);
    }
}

// Only epochs that this origin has just seen pass, one by one. With a clock that is a year ahead, all that
// locations still need is "over", and with one that jumped there it would be so at once.
void Origin::drop_over(std::uint64_t current) {
    const auto before = std::exchange(last_current_, current);
    if (!before || current < *before || current - *before > ahead + 1)
        return;
    const auto is_over = [&](KeyId key) {
        return key.epoch < *before && key.epoch + 2 * ahead + 2 >= *before;
    };
    for (const auto& [key, held] : std::map(store_->held()))
        if (is_over(key))
            store_->drop(key);
    for (const auto& name : engine_->list(bucket::hourly, ""))
        if (const auto key = parse_engine_key(name); key && is_over(*key))
            engine_->erase(bucket::hourly, name);
}

std::vector<std::uint8_t> Origin::mint(KeyId key, PartyNumber own, const Policy& policy) {
    Bundle bundle;
    bundle.key = key;
    bundle.not_before = begins(key.epoch, policy);
    bundle.not_after = begins(key.epoch + 1, policy);
    bundle.before = newest_before(key);
    HourlyKey hourly;  // wiped when it goes, with the end of this function
    random_(hourly.span());
    seal_shares(bundle, self_->fleet, own, hourly, recipients(key.epoch));
    return self_->sign(Kind::bundle, own, encode_bundle(bundle));
}

std::vector<Recipient> Origin::recipients(std::uint64_t epoch) {
    std::vector<Recipient> all;
    for (const auto& party : lists_->fleet()->parties) {
        if (party.role != Role::vault || party.standing != Standing::active)
            continue;
        const auto pre_key = pre_key_of(party, epoch);
        if (pre_key)
            report_.without_pre_key.erase(party.number);
        else
            report_.without_pre_key.insert(party.number);
        all.push_back({party.number, pre_key ? static_cast<std::uint32_t>(epoch) : 0,
                       pre_key ? *pre_key : party.sealing_key});
    }
    return all;
}

std::optional<Point> Origin::pre_key_of(const Party& vault, std::uint64_t epoch) {
    const auto name = vault.name + "." + std::to_string(epoch);
    const auto frame = engine_->get(bucket::pre_keys, name);
    if (!frame)
        return {};
    try {
        const Party* signer = nullptr;
        const auto pre_key =
            decode_pre_key(lists_->open(*frame, Kind::pre_key, Role::vault, vault.location, signer));
        if (signer->number == vault.number && pre_key.vault == vault.number && pre_key.epoch == epoch)
            return pre_key.key;
        alarm("what the engine has as pre-key " + name + " is another");
    } catch (const FrameError& error) {
        alarm("what the engine has as pre-key " + name + " is none: " + error.what());
    }
    return {};
}

Digest Origin::newest_before(KeyId key) const {
    const auto& held = store_->held();
    const auto next = held.lower_bound(key);
    return next == held.begin() ? Digest{} : frame_hash(std::prev(next)->second.frame);
}

std::string Origin::why_not_good(KeyId key, Bytes frame, const Policy& policy) const {
    try {
        const Party* signer = nullptr;
        const auto bundle = decode_bundle(lists_->open(frame, Kind::bundle, Role::origin, {}, signer));
        if (bundle.key != key)
            return "it is " + engine_key(bundle.key);
        if (bundle.not_before != begins(key.epoch, policy) ||
            bundle.not_after != begins(key.epoch + 1, policy))
            return "its window is not that of the epoch: another period?";
        return {};
    } catch (const FrameError& error) {
        return error.what();
    }
}

void Origin::alarm(const std::string& what) {
    if (std::ranges::find(report_.alarms, what) != report_.alarms.end())
        return;
    report_.alarms.push_back(what);
    daemon::log(LOG_WARNING, what);
}

}  // namespace stek::fleet
