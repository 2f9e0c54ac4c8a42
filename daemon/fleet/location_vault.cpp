#include "daemon/fleet/location_vault.hpp"

#include <algorithm>
#include <string>

namespace stek::fleet {

std::optional<std::uint64_t> LocationVault::chain_epoch() {
    const auto at = Chain(*session_).position();
    if (!at)
        return {};
    // Derived at another index, an epoch's key would be none of the other vaults'.
    if (at->index != at->epoch)
        throw pkcs11::TokenError("token " + session_->token().label() +
                                 " holds the chain key of a location that is in no fleet: step " +
                                 std::to_string(at->index) + ", epoch " + std::to_string(at->epoch));
    return at->epoch;
}

void LocationVault::advance_chain(std::uint64_t to_epoch) {
    Chain chain(*session_);
    // A kill may have left the key of an earlier epoch beside the newest.
    chain.destroy_older();
    for (auto at = chain_epoch(); at && *at < to_epoch; at = chain_epoch()) {
        const auto steps = std::min(to_epoch - *at, Chain::max_advance);
        chain.advance(steps, *at + steps);
    }
}

std::vector<std::uint64_t> LocationVault::pre_keys() {
    return keys_->numbers(Use::pre_key);
}

TokenKey LocationVault::make_pre_key(std::uint64_t epoch) {
    return keys_->make(Use::pre_key, epoch);
}

std::optional<TokenKey> LocationVault::pre_key(std::uint64_t epoch) {
    return keys_->find(Use::pre_key, epoch);
}

void LocationVault::destroy_pre_key(std::uint64_t epoch) {
    keys_->destroy(Use::pre_key, epoch);
}

void LocationVault::derive(KeyId key, const HourlyKey& hourly, std::span<const Bytes> spkis, OaepHash oaep,
                           WrappedSteks& out) {
    deriver_->derive(key.epoch, key.revision, hourly.bytes(), spkis, oaep, out);
}

}  // namespace stek::fleet
