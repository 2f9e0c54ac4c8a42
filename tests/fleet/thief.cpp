#include "tests/fleet/thief.hpp"

#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/location_vault.hpp"
#include "daemon/hpke_error.hpp"
#include "provider/ticket.hpp"
#include "provider/ticket_token.hpp"

#include <algorithm>
#include <ctime>
#include <limits>

#include <openssl/ssl.h>

namespace stek::tests {

using namespace fleet;

namespace {

constexpr std::size_t iv_at = 16, iv_size = 12, ciphertext_at = 28, behind_ciphertext = 16 + 32;

Bytes iv_of(const Buffer& ticket) {
    return Bytes(ticket).subspan(iv_at, iv_size);
}

Bytes ciphertext_of(const Buffer& ticket) {
    return Bytes(ticket).subspan(ciphertext_at, ticket.size() - ciphertext_at - behind_ciphertext);
}

/// GCM without its tag is counter mode: a thief needs neither audience nor admission key. What it is XORed
/// with may be asked for in the token, too: it is what zeros are encrypted to.
Buffer keystream(Bytes stek, Bytes iv, std::size_t size) {
    Buffer counter(iv.begin(), iv.end());
    counter.insert(counter.end(), {0, 0, 0, 2});
    const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(EVP_CIPHER_CTX_new(),
                                                                                  EVP_CIPHER_CTX_free);
    Buffer out(size), zeros(size);
    int done = 0;
    if (EVP_EncryptInit_ex2(context.get(), EVP_aes_256_ctr(), stek.data(), counter.data(), nullptr) != 1 ||
        EVP_EncryptUpdate(context.get(), out.data(), &done, zeros.data(), static_cast<int>(size)) != 1)
        throw std::runtime_error("no AES in OpenSSL");
    return out;
}

Buffer keystream(pkcs11::Session& session, CK_OBJECT_HANDLE stek, Bytes iv, std::size_t size) {
    Buffer nonce(iv.begin(), iv.end()), zeros(size), out(size + 16);
    CK_GCM_PARAMS params{nonce.data(), nonce.size(), 96, nullptr, 0, 128};
    CK_MECHANISM mechanism{CKM_AES_GCM, &params, sizeof params};
    CK_RV rv = CKR_OK;
    (void)session.encrypt(mechanism, stek, zeros, out, rv);
    if (rv != CKR_OK)
        throw std::runtime_error("the token does not encrypt");
    return out;
}

/// The time of a full handshake, then a session.
bool opens(const Buffer& ticket, const Buffer& keystream) {
    const auto ciphertext = ciphertext_of(ticket);
    Buffer plain;
    for (std::size_t i = 0; i < ciphertext.size(); ++i)
        plain.push_back(static_cast<std::uint8_t>(ciphertext[i] ^ keystream[i]));
    std::uint64_t time = 0;
    for (std::size_t i = 0; i < lineage_size; ++i)
        time = time << 8 | plain.at(i);
    const auto now = static_cast<std::uint64_t>(std::time(nullptr));
    if (time > now + 86400 || time + 86400 < now)
        return false;
    const unsigned char* at = plain.data() + lineage_size;
    const std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)> session(
        d2i_SSL_SESSION(nullptr, &at, static_cast<long>(plain.size() - lineage_size)), SSL_SESSION_free);
    return session != nullptr;
}

/// One host's tokens, on all of the prey.
class Robbery {
  public:
    Robbery(const std::string& config, const Prey& prey, const RsaPair& own, Haul& haul)
        : config_(load_fleet_config(config)), prey_(prey), own_(own), haul_(haul), tokens_(config_, claims_) {
        for (const auto& record : prey.records)
            names_.insert(record.name);
    }

    void run() {
        if (const auto* vault = tokens_.location()) {
            try_keys(*vault->keys);
            try_chain(*vault);
        }
        if (const auto* machine = tokens_.machine()) {
            try_keys(*machine->keys);
            try_pairs();
            try_ring();
        }
    }

  private:
    void try_keys(TokenKeys& keys) {
        if (const auto sealing = keys.find(Use::sealing))
            try_key(*sealing);
        for (const auto epoch : keys.numbers(Use::pre_key))
            if (const auto pre_key = keys.find(Use::pre_key, epoch)) {
                haul_.last_pre_key = std::max(haul_.last_pre_key, epoch);
                try_key(*pre_key);
            }
    }

    void try_key(const TokenKey& key) {
        ++haul_.hpke_keys;
        for (const auto& [id, seen] : prey_.bundles)
            for (const auto& share : seen.bundle.shares) {
                const bool is_open = try_share(key, id, seen, share);
                if (prey_.vaults.contains(share.vault)) {
                    haul_.shares.count(is_open);
                    haul_.opened_shares[id] += is_open ? 1 : 0;
                }
            }
        for (const auto& record : prey_.records)
            haul_.admission_keys.count(try_record(key, record));
    }

    /// Those of his own location's vaults give him the hourly keys.
    bool try_share(const TokenKey& key, KeyId id, const Prey::Seen& seen, const SealedHourly& share) {
        HourlyKey hourly;
        try {
            open_share(seen.bundle, share, prey_.fleet(), seen.origin, key.key.get(), key.point, hourly);
        } catch (const hpke::Error&) {
            return false;
        } catch (const FrameError&) {
            return false;
        }
        hourlies_[id].assign(hourly.bytes().begin(), hourly.bytes().end());
        return true;
    }

    bool try_record(const TokenKey& key, const MachineRecord& record) const {
        SecretArray<admission_key_size> admission_key;
        try {
            open_admission_key(record, prey_.fleet(), key.key.get(), key.point, admission_key);
            return true;
        } catch (const hpke::Error&) {
            return false;
        }
    }

    /// Each hourly key in each epoch: what it was minted for is but a number.
    void try_chain(const RoleToken& vault) {
        LocationVault work(vault.token->session, *vault.keys, *tokens_.deriver());
        const auto begin = work.chain_epoch();
        const std::vector<Bytes> spkis{own_.spki()};
        for (const auto& [id, seen] : prey_.bundles)
            for (const auto& [of, value] : hourlies_) {
                if (!begin || id.epoch < *begin)
                    continue;
                HourlyKey hourly;
                std::ranges::copy(value, hourly.data());
                WrappedSteks steks;
                work.derive(id, hourly, spkis, OaepHash::sha1, steks);
                ++haul_.derived;
                haul_.names.count(names_.contains(steks.name));
                const auto stek = own_.unwrap(steks.wrapped_keys.front(), "SHA1");
                if (stek.size() != 32)
                    throw std::runtime_error("no STEK in what the chain derives");
                try_stek([&](Bytes iv, std::size_t size) { return keystream(stek, iv, size); });
            }
    }

    void try_pairs() {
        const auto& token = tokens_.ticket()->session.shared_token();
        for (const auto& pair : list_ticket_pairs(tokens_.ticket()->session)) {
            ++haul_.pairs;
            for (const auto& record : prey_.records) {
                RingRecord ring;
                ring.pair = pair;
                ring.oaep = record.oaep;
                ring.wrapped_key = record.wrapped_key;
                pkcs11::Session session(token, pkcs11::Access::read_only);  // an error would spend it
                try {
                    (void)unwrap_stek(session, ring);
                    haul_.wrapped_keys.count(true);
                } catch (const pkcs11::Error&) {
                    haul_.wrapped_keys.count(false);
                }
            }
        }
    }

    void try_ring() {
        pkcs11::Session session(tokens_.ticket()->session.shared_token(), pkcs11::Access::read_only);
        const auto ring = read_ring_file(config_.machine->keyring);
        if (ring == nullptr)
            throw std::runtime_error("no key ring was stolen");
        for (const auto& record : ring->records) {
            const pkcs11::ScopedObject stek(session, unwrap_stek(session, *record));
            try_stek([&](Bytes iv, std::size_t size) { return keystream(session, stek.get(), iv, size); });
        }
    }

    template <class Keystream>
    void try_stek(const Keystream& keystream_for) {
        ++haul_.steks;
        for (const auto& ticket : prey_.tickets)
            haul_.tickets.count(opens(ticket, keystream_for(iv_of(ticket), ciphertext_of(ticket).size())));
    }

    FleetConfig config_;
    const Prey& prey_;
    const RsaPair& own_;
    Haul& haul_;
    daemon::TokenClaims claims_;
    FleetTokens tokens_;
    std::set<KeyName> names_;
    std::map<KeyId, Buffer> hourlies_;
};

}  // namespace

void Prey::look(Engine& engine) {
    KnownLists lists("", root_, location_);
    (void)lists.refresh(engine);
    for (const auto& party : lists.fleet()->parties)
        if (party.role == Role::vault && party.location == location_)
            vaults.insert(party.number);
    const Party* signer = nullptr;
    for (const auto& name : engine.list(bucket::hourly, ""))
        if (const auto frame = engine.get(bucket::hourly, name)) {
            const auto bundle = decode_bundle(lists.open(*frame, Kind::bundle, Role::origin, "", signer));
            bundles[bundle.key] = {bundle, signer->number};
        }
    const auto bucket = bucket::of_location(location_);
    for (const auto& name : engine.list(bucket, all_records))
        if (const auto frame = engine.get(bucket, name); frame && seen_.insert(frame_hash(*frame)).second)
            records.push_back(
                decode_record(lists.open(*frame, Kind::record, Role::vault, location_, signer)));
}

std::size_t Prey::shares() const {
    std::size_t all = 0;
    for (const auto& [key, seen] : bundles)
        all += static_cast<std::size_t>(std::ranges::count_if(
            seen.bundle.shares, [this](const auto& share) { return vaults.contains(share.vault); }));
    return all;
}

Haul Thief::rob(const Prey& prey) const {
    Haul haul;
    for (const auto& config : configs_)
        Robbery(config, prey, own_, haul).run();
    return haul;
}

}  // namespace stek::tests
