// A location's vault token, in memory: chain and STEKs are hashes, so two of the same secret agree.
#pragma once

#include "daemon/fleet/vault_work.hpp"
#include "provider/vault.hpp"
#include "tests/fixtures/location_scene.hpp"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace stek::tests {

class MemoryVault : public fleet::VaultWork {
  public:
    explicit MemoryVault(std::string secret, std::optional<std::uint64_t> chain)
        : secret_(std::move(secret)), chain_(chain) {}

    std::vector<std::string> acts;  ///< "derive 7.0 x 3", "advance 8", "make 12", "destroy 7"
    /// Fails before the n-th call from now on that changes or derives something; 0: never.
    unsigned fail_at = 0;
    bool is_down = false;
    std::vector<std::uint8_t> refused_spki;

    std::optional<std::uint64_t> chain_epoch() override {
        if (is_down)
            throw std::runtime_error("the token is down");
        return chain_;
    }
    void advance_chain(std::uint64_t to_epoch) override {
        call();
        if (to_epoch <= chain_.value())
            throw std::logic_error("the chain goes one way");
        acts.push_back("advance " + std::to_string(to_epoch));
        chain_ = to_epoch;
    }
    std::vector<std::uint64_t> pre_keys() override {
        std::vector<std::uint64_t> epochs;
        for (const auto& [epoch, key] : pre_keys_)
            epochs.push_back(epoch);
        return epochs;
    }
    fleet::TokenKey make_pre_key(std::uint64_t epoch) override {
        call();
        if (pre_keys_.contains(epoch))
            throw std::logic_error("there is one");
        acts.push_back("make " + std::to_string(epoch));
        pre_keys_.emplace(epoch, memory_key());
        return *pre_key(epoch);
    }
    std::optional<fleet::TokenKey> pre_key(std::uint64_t epoch) override {
        const auto found = pre_keys_.find(epoch);
        if (found == pre_keys_.end() || !found->second.key)
            return {};
        EVP_PKEY_up_ref(found->second.key.get());
        return fleet::TokenKey{hpke::KeyPtr(found->second.key.get()), found->second.point};
    }
    void destroy_pre_key(std::uint64_t epoch) override {
        call();
        acts.push_back("destroy " + std::to_string(epoch));
        pre_keys_.erase(epoch);
    }
    void derive(fleet::KeyId key, const fleet::HourlyKey& hourly, std::span<const Bytes> spkis, OaepHash oaep,
                WrappedSteks& out) override {
        call();
        if (key.epoch < chain_.value() || key.epoch - *chain_ > Chain::max_steps_ahead)
            throw std::runtime_error("the chain cannot derive for that epoch");
        for (const Bytes spki : spkis)
            if (std::ranges::equal(spki, refused_spki))
                throw std::runtime_error("CKR_WRAPPING_KEY_HANDLE_INVALID");
        acts.push_back("derive " + std::to_string(key.epoch) + "." + std::to_string(key.revision) + " x " +
                       std::to_string(spkis.size()));
        const auto stek = hash_of("stek", key, hourly.bytes());
        std::ranges::copy(Bytes(stek).first(out.name.size()), out.name.begin());
        std::ranges::copy(hash_of("admission", key, hourly.bytes()), out.admission_key.data());
        out.oaep = oaep;
        out.wrapped_keys.assign(spkis.size(), std::vector<std::uint8_t>(256, stek.back()));
    }

    /// As a kill leaves it.
    void make_half_a_pre_key(std::uint64_t epoch) { pre_keys_[epoch] = {}; }
    [[nodiscard]] fleet::Digest hash_of(const std::string& what, fleet::KeyId key, Bytes hourly) const {
        std::string text = secret_ + what + std::to_string(key.epoch) + "." + std::to_string(key.revision);
        text.append(hourly.begin(), hourly.end());
        return fleet::sha256_of({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    }

  private:
    void call() {
        if (is_down || (fail_at > 0 && --fail_at == 0))
            throw std::runtime_error("the token fails");
    }
    std::string secret_;
    std::optional<std::uint64_t> chain_;
    std::map<std::uint64_t, fleet::TokenKey> pre_keys_;
};

}  // namespace stek::tests
