// A location at work by the hour, on an engine in memory, and a thief who holds what its case says. Keys are
// wrapped for real: what opens, opens to the bytes that the location's machine has.
#pragma once

#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/fleet_status.hpp"
#include "daemon/fleet/location.hpp"
#include "daemon/fleet/origin.hpp"
#include "daemon/fleet/root_key.hpp"
#include "daemon/hpke_error.hpp"
#include "memory_engine.hpp"
#include "memory_ticket.hpp"
#include "memory_vault.hpp"
#include "provider/rsa_spki.hpp"
#include "tests/fixtures/location_scene.hpp"
#include "tests/fixtures/workspace.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

namespace stek::tests {

using Octets = std::vector<std::uint8_t>;
using Epochs = std::vector<std::uint64_t>;

inline constexpr std::uint64_t start = 500'000;
inline const daemon::Policy hours{scene_period, 7200};

inline daemon::Now at(std::uint64_t epoch, std::uint64_t second = 60) {
    return {static_cast<std::int64_t>(epoch * scene_period + second),
            1000 + (epoch - start) * scene_period + second};
}
/// Both included.
inline Epochs from_to(std::uint64_t first, std::uint64_t last) {
    Epochs all;
    for (; first <= last; ++first)
        all.push_back(first);
    return all;
}
inline bool says(const std::vector<std::string>& texts, const std::string& part) {
    return std::ranges::any_of(texts,
                               [&](const std::string& text) { return text.find(part) != std::string::npos; });
}
inline void fill_at_random(std::span<std::uint8_t> bytes) {
    if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
        throw std::runtime_error("RAND_bytes");
}

/// RSA-OAEP with SHA-1, in either direction; empty if it does not open.
inline Octets oaep(EVP_PKEY* key, Bytes in, decltype(&EVP_PKEY_encrypt_init) begin,
                   decltype(&EVP_PKEY_encrypt) go) {
    const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(EVP_PKEY_CTX_new(key, nullptr),
                                                                              EVP_PKEY_CTX_free);
    Octets out(512);
    std::size_t size = out.size();
    if (begin(context.get()) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
        go(context.get(), out.data(), &size, in.data(), in.size()) != 1)
        return {};
    out.resize(size);
    return out;
}
inline Octets wrap(Bytes spki, Bytes key) {
    return oaep(parse_rsa_spki(spki).get(), key, EVP_PKEY_encrypt_init, EVP_PKEY_encrypt);
}

class RsaPair {
  public:
    RsaPair() : key_(EVP_RSA_gen(2048), EVP_PKEY_free) {
        unsigned char* der = nullptr;
        const int size = i2d_PUBKEY(key_.get(), &der);
        spki.assign(der, der + size);
        OPENSSL_free(der);
    }
    std::vector<std::uint8_t> spki;
    [[nodiscard]] Octets unwrap(Bytes wrapped) const {
        return oaep(key_.get(), wrapped, EVP_PKEY_decrypt_init, EVP_PKEY_decrypt);
    }

  private:
    EvpPkey key_;
};

/// To make one takes longer than all that is done with it.
inline const RsaPair& thief_pair() {
    static const RsaPair pair;
    return pair;
}
inline const RsaPair& machine_pair() {
    static const RsaPair pair;
    return pair;
}

class WrappingVault final : public MemoryVault {
  public:
    using MemoryVault::MemoryVault;
    void derive(fleet::KeyId key, const fleet::HourlyKey& hourly, std::span<const Bytes> spkis, OaepHash hash,
                WrappedSteks& out) override {
        MemoryVault::derive(key, hourly, spkis, hash, out);
        for (std::size_t i = 0; i < spkis.size(); ++i)
            out.wrapped_keys[i] = wrap(spkis[i], hash_of("stek", key, hourly.bytes()));
    }
};

/// An engine that a thief holds bundles back in, from who looks through it.
class HoldingBack final : public fleet::Engine {
  public:
    explicit HoldingBack(fleet::Engine& real) : real_(&real) {}
    std::optional<std::uint64_t> from_epoch;

    bool create(const std::string& bucket, const std::string& key, Bytes value) override {
        return real_->create(bucket, key, value);
    }
    void put(const std::string& bucket, const std::string& key, Bytes value) override {
        real_->put(bucket, key, value);
    }
    std::optional<Octets> get(const std::string& bucket, const std::string& key) override {
        return is_held_back(bucket, key) ? std::nullopt : real_->get(bucket, key);
    }
    std::vector<std::string> list(const std::string& bucket, const std::string& prefix) override {
        auto keys = real_->list(bucket, prefix);
        std::erase_if(keys, [&](const auto& key) { return is_held_back(bucket, key); });
        return keys;
    }
    void erase(const std::string& bucket, const std::string& key) override { real_->erase(bucket, key); }
    std::unique_ptr<fleet::Watch> watch(const std::string& bucket) override { return real_->watch(bucket); }
    [[nodiscard]] std::string name() const override { return real_->name(); }

  private:
    [[nodiscard]] bool is_held_back(const std::string& bucket, const std::string& key) const {
        const auto parsed = fleet::parse_bundle_key(key);
        return bucket == fleet::bucket::hourly && from_epoch && parsed && parsed->epoch >= *from_epoch;
    }
    fleet::Engine* real_;
};

struct VaultAtWork {
    VaultAtWork(const LocationScene& scene, fleet::Engine& engine, SceneParty& party,
                const std::string& directory)
        : party(&party),
          view(engine),
          lists(directory, scene.root().point, scene_location),
          location(party.self, lists, view, token, {}, [](const fleet::LocationMemory&) {}) {}
    void run(const daemon::Now& now) { location.run(now, hours); }
    [[nodiscard]] const std::vector<std::string>& alarms() const { return location.report().alarms; }

    SceneParty* party;
    HoldingBack view;
    WrappingVault token{"C", start};
    fleet::KnownLists lists;
    fleet::Location location;
};

struct OriginAtWork {
    OriginAtWork(const LocationScene& scene, fleet::Engine& engine, const SceneParty& party,
                 const std::string& directory)
        : lists(directory, scene.root().point, ""),
          store(directory),
          origin(party.self, lists, engine, store, fill_at_random) {}
    void run(const daemon::Now& now) { origin.run(now, hours); }

    fleet::KnownLists lists;
    fleet::BundleStore store;
    fleet::Origin origin;
};

struct MachineAtWork {
    MachineAtWork(const LocationScene& scene, fleet::Engine& engine, test::Trap& trap,
                  const SceneParty& party, const std::string& directory)
        : lists(directory, scene.root().point, scene_location),
          ticket(trap),
          machine(party.self, lists, engine, ticket, {}, [](const fleet::MachineMemory&) {}) {}
    void run(const daemon::Now& now) { machine.run(now, hours, ticket.ring); }
    [[nodiscard]] bool has(fleet::KeyId key) const {
        return std::ranges::any_of(ticket.ring->records, [&](const auto& record) {
            return fleet::KeyId{record->epoch, record->revision} == key;
        });
    }
    [[nodiscard]] const std::vector<std::string>& alarms() const { return machine.report().alarms; }

    fleet::KnownLists lists;
    test::MemoryTicket ticket;
    fleet::Machine machine;
};

/// A vault's token with its PIN, as it was that day. Who it belongs to sees nothing of it.
class VaultCopy {
  public:
    VaultCopy(const VaultAtWork& vault, MemoryVault& token)
        : vault_(vault.party), chain_("C", token.chain_epoch()) {
        for (const auto epoch : token.pre_keys())
            pre_keys_.emplace(epoch, token.pre_key(epoch).value());
    }
    [[nodiscard]] const SceneParty& vault() const noexcept { return *vault_; }

    /// Makes a pre-key of the thief's own, which the copy can sign.
    Octets own_pre_key(std::uint64_t epoch) {
        pre_keys_.insert_or_assign(epoch, memory_key());
        return vault_->self.sign(
            fleet::Kind::pre_key, vault_->entry.number,
            fleet::encode_pre_key({vault_->entry.number, epoch, pre_keys_.at(epoch).point}));
    }
    /// K, if the vault's share opens by any key of the copy and its chain key is not of a later epoch.
    [[nodiscard]] std::optional<Octets> open(Bytes frame, const fleet::FleetId& fleet) {
        const auto signer = fleet::peek_frame(frame, fleet::Kind::bundle, fleet).signer;
        const auto bundle = fleet::decode_bundle(fleet::body_of(frame));
        const auto share =
            std::ranges::find(bundle.shares, vault_->entry.number, &fleet::SealedHourly::vault);
        if (share == bundle.shares.end())
            return {};
        const auto try_key = [&](const fleet::TokenKey& key) -> std::optional<Octets> {
            fleet::HourlyKey hourly;
            try {
                open_share(bundle, *share, fleet, signer, key.key.get(), key.point, hourly);
            } catch (const hpke::Error&) {
                return {};
            }
            return derive(bundle.key, hourly);
        };
        const auto pre_key = pre_keys_.find(bundle.key.epoch);
        auto opened = pre_key != pre_keys_.end() ? try_key(pre_key->second) : std::nullopt;
        return opened ? opened : try_key(*vault_->self.sealing);
    }
    [[nodiscard]] std::optional<Octets> derive(fleet::KeyId key, const fleet::HourlyKey& hourly) {
        if (key.epoch < chain_.chain_epoch())
            return {};
        WrappedSteks out;
        chain_.derive(key, hourly, std::vector<Bytes>{thief_pair().spki}, OaepHash::sha1, out);
        return thief_pair().unwrap(out.wrapped_keys.front());
    }

  private:
    SceneParty* vault_;
    WrappingVault chain_;
    std::map<std::uint64_t, fleet::TokenKey> pre_keys_;
};

/// Two vaults, two origins of which the second works, and a machine whose pairs are all the same.
struct TheftScene {
    TheftScene() {
        fleet::write_root_key(workspace.path() / "root.pem", scene.root().point);
        config.root = workspace.path() / "root.pem";
        scene.publish_lists();
    }
    void offer_pairs(std::uint64_t epoch) {
        for (auto of = epoch; of <= epoch + 3; ++of)
            scene.offer(web1, of, static_cast<std::uint8_t>(of), machine_pair().spki);
    }
    /// What its location does in an epoch: pre-keys, then a bundle, then records. `between` is the thief's
    /// time: all pre-keys are there, and the epoch's bundle is not yet.
    template <class Act>
    void live(std::uint64_t epoch, const std::vector<VaultAtWork*>& vaults, const Act& between) {
        offer_pairs(epoch);
        for (auto* vault : vaults)
            vault->run(at(epoch, 60));
        between();
        origin.run(at(epoch, 120));
        for (auto* vault : vaults)
            vault->run(at(epoch, 180));
        look();
    }
    void live(std::uint64_t epoch, const std::vector<VaultAtWork*>& vaults) {
        live(epoch, vaults, [] {});
    }
    void live(std::uint64_t epoch) { live(epoch, {&first, &second}); }

    /// What can be had of the engine now: bundles for the thief, and the machine's keys to compare with.
    void look() {
        for (const auto& name : engine.list(fleet::bucket::hourly, ""))
            bundles[*fleet::parse_bundle_key(name)] = *engine.get(fleet::bucket::hourly, name);
        for (const auto& name : engine.list(scene.bucket(), fleet::records_of("web-1")))
            if (const auto key = fleet::key_of_record(name); !machine_keys.contains(*key))
                machine_keys[*key] = machine_pair().unwrap(
                    fleet::decode_record(fleet::body_of(*engine.get(scene.bucket(), name))).wrapped_key);
    }
    /// Of all that there was to see: the epochs whose first key that copy opens, and the machine has it.
    Epochs opened(VaultCopy& copy, std::uint32_t revision = 0) {
        Epochs found;
        for (const auto& [key, frame] : bundles)
            if (const auto known = machine_keys.find(key); key.revision == revision &&
                                                           known != machine_keys.end() &&
                                                           copy.open(frame, scene.id()) == known->second)
                found.push_back(key.epoch);
        return found;
    }
    VaultCopy steal(VaultAtWork& vault) { return {vault, vault.token}; }
    void erase_pre_keys(const std::string& vault) {
        for (const auto& name : engine.list(fleet::bucket::pre_keys, fleet::pre_keys_of(vault)))
            engine.erase(fleet::bucket::pre_keys, name);
    }
    fleet::FleetStatus status(std::uint64_t epoch) {
        return gather_fleet_status(config, engine, {}, at(epoch, 240).wall);
    }

    test::Workspace workspace{"thefts"};
    test::Trap trap;
    test::MemoryEngine engine{trap};
    LocationScene scene{engine};
    SceneParty& origin1 = scene.add_origin("origin-1");
    SceneParty& origin2 = scene.add_origin("origin-2");
    SceneParty& vault1 = scene.add_vault("vault-1");
    SceneParty& vault2 = scene.add_vault("vault-2");
    SceneParty& web1 = scene.add_machine("web-1");
    OriginAtWork origin{scene, engine, origin2, workspace.subdirectory("state")};
    VaultAtWork first{scene, engine, vault1, workspace.subdirectory("state")},
        second{scene, engine, vault2, workspace.subdirectory("state")};
    fleet::FleetConfig config;
    std::map<fleet::KeyId, Octets> bundles, machine_keys;
};

}  // namespace stek::tests
