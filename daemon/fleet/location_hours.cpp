#include "daemon/fleet/location_hours.hpp"

#include "daemon/fleet/engine_keys.hpp"
#include "daemon/hpke_error.hpp"

#include <algorithm>

namespace stek::fleet {
namespace {

std::string name_of(KeyId key) {
    return "bundle " + bundle_key(key);
}

const SealedHourly* share_of(const Bundle& bundle, PartyNumber vault) {
    const auto found = std::ranges::lower_bound(bundle.shares, vault, {}, &SealedHourly::vault);
    return found != bundle.shares.end() && found->vault == vault ? &*found : nullptr;
}

TokenKey another_hold_of(const TokenKey& key) {
    EVP_PKEY_up_ref(key.key.get());
    return {hpke::KeyPtr(key.key.get()), key.point};
}

}  // namespace

void HourlyShelf::look(std::uint64_t chain_epoch, std::int64_t now, const daemon::Policy& policy) {
    drop_before(chain_epoch);
    const auto names = desk_->engine.list(bucket::hourly, "");
    const auto keys = bundles_of_interest(names, chain_epoch, policy.epoch_at(now));
    std::vector<std::string> read(keys.size());
    std::ranges::transform(keys, read.begin(), bundle_key);
    desk_->engine.read_ahead(bucket::hourly, read);
    for (const KeyId key : keys)
        look_at(key, policy);
    pin_opened(chain_epoch);
}

void HourlyShelf::look_at(KeyId key, const daemon::Policy& policy) {
    const auto frame = desk_->find(bucket::hourly, bundle_key(key));
    if (!frame)
        return;
    try {
        take(key, *frame, policy);
    } catch (const FrameError& error) {
        desk_->alarms.raise(name_of(key) + " is not used: " + error.what());
    } catch (const hpke::Error& error) {
        desk_->alarms.raise(name_of(key) + " is not used, its share does not open: " + error.what());
    }
}

void HourlyShelf::take(KeyId key, Bytes frame, const daemon::Policy& policy) {
    const Digest hash = frame_hash(frame);
    const auto known = known_.find(key);
    if (known != known_.end() && known->second.hash == hash && known->second.is_open)
        return;
    const Party* origin = nullptr;
    const Bundle bundle = decode_bundle(desk_->lists.open(frame, Kind::bundle, Role::origin, "", origin));
    if (bundle.key != key)
        throw FrameError("it is bundle " + bundle_key(bundle.key) + ", replayed in another's place");
    if (const auto why = refuse_window({key, bundle.not_before, bundle.not_after}, policy); !why.empty())
        throw FrameError(why);
    const auto pin = desk_->memory().pinned.find(key);
    if ((pin != desk_->memory().pinned.end() && pin->second != hash) ||
        (known != known_.end() && known->second.hash != hash))
        throw FrameError("origin " + origin->name +
                         " has signed another one than the one that was seen first: two hourly keys for one "
                         "epoch and revision");
    Known& entry = known_[key];
    entry.hash = hash;
    entry.not_before = bundle.not_before;
    entry.not_after = bundle.not_after;
    if (!desk_->is_revoked(key))
        open(bundle, origin->number, entry);
}

void HourlyShelf::open(const Bundle& bundle, PartyNumber origin, Known& into) {
    const SealedHourly* share = share_of(bundle, desk_->own_number());
    if (share == nullptr)
        throw FrameError("it has no share for this vault: was it made before the vault was enrolled?");
    const auto key = key_of_share(bundle, *share);
    if (!key)
        throw FrameError("its share is sealed to a pre-key that is not in the token");
    open_share(bundle, *share, desk_->self.fleet, origin, key->key.get(), key->point, into.hourly);
    into.is_open = true;
}

// A pre-key of another epoch would not die with this one's chain key.
std::optional<TokenKey> HourlyShelf::key_of_share(const Bundle& bundle, const SealedHourly& share) const {
    if (share.pre_key == 0)
        return desk_->self.sealing ? std::optional(another_hold_of(*desk_->self.sealing)) : std::nullopt;
    if (share.pre_key != static_cast<std::uint32_t>(bundle.key.epoch))
        throw FrameError("its share is sealed to the pre-key of another epoch");
    return desk_->vault.pre_key(bundle.key.epoch);
}

// Before the first derivation: else a kill between the two would leave nothing to compare with.
void HourlyShelf::pin_opened(std::uint64_t chain_epoch) {
    LocationMemory changed = desk_->memory();
    for (const auto& [key, known] : known_)
        if (known.is_open)
            changed.pinned.emplace(key, known.hash);
    if (changed.pinned.size() == desk_->memory().pinned.size())
        return;
    std::erase_if(changed.pinned, [&](const auto& pin) { return pin.first.epoch < chain_epoch; });
    desk_->remember(std::move(changed));
}

void HourlyShelf::drop_before(std::uint64_t epoch) {
    std::erase_if(known_, [epoch](const auto& entry) { return entry.first.epoch < epoch; });
}

// What is known of the bundle stays: its epoch is one that the chain may move to.
void HourlyShelf::drop(KeyId key) {
    const auto known = known_.find(key);
    if (known == known_.end())
        return;
    OPENSSL_cleanse(known->second.hourly.data(), HourlyKey::size());
    known->second.is_open = false;
}

std::vector<VerifiedBundle> HourlyShelf::bundles() const {
    std::vector<VerifiedBundle> all;
    for (const auto& [key, known] : known_)
        all.push_back({key, known.not_before, known.not_after});
    return all;
}

const HourlyKey* HourlyShelf::hourly(KeyId key) const {
    const auto known = known_.find(key);
    return known != known_.end() && known->second.is_open && desk_->memory().pinned.contains(key) &&
                   !desk_->is_revoked(key)
               ? &known->second.hourly
               : nullptr;
}

bool HourlyShelf::is_superseded(KeyId key) const {
    for (auto later = known_.upper_bound(key); later != known_.end() && later->first.epoch == key.epoch;
         ++later)
        if (later->second.is_open || desk_->is_revoked(later->first))
            return true;
    return false;
}

}  // namespace stek::fleet
