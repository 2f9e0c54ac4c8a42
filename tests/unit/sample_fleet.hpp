// A fleet's parties and what they send, to put to the test.
#pragma once

#include "daemon/fleet/bundle.hpp"
#include "daemon/fleet/ceremony_frames.hpp"
#include "daemon/fleet/party.hpp"
#include "daemon/fleet/record.hpp"

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <openssl/rsa.h>
#include <openssl/x509.h>

namespace stek::test {

using Octets = std::vector<std::uint8_t>;

template <class Range>
Octets octets(const Range& bytes) {
    return {bytes.begin(), bytes.end()};
}

/// A key pair and its public half.
struct Pair {
    hpke::KeyPtr key = hpke::make_key();
    fleet::Point point = hpke::point_of(key.get());

    [[nodiscard]] fleet::Signer signer() const {
        return [key = key.get()](Bytes bytes) { return fleet::sign_with(key, bytes); };
    }
};

/// Begins with 04 and is on no curve.
inline fleet::Point off_the_curve() {
    fleet::Point point{};
    point.fill(0x11);
    point[0] = 4;
    return point;
}

struct SampleFleet {
    Pair root, origin, vault, vault_sealing, pre_key, machine, machine_sealing;
    fleet::FleetId id = fleet::fleet_id_of(root.point);

    [[nodiscard]] fleet::EnrolmentRequest request() const {
        return {fleet::Role::vault, "ams1-vault", "ams1", vault.point, vault_sealing.point};
    }
    [[nodiscard]] fleet::PartyList list() const {
        return {7,
                1'800'000'000,
                "",
                {{1, fleet::Role::origin, fleet::Standing::active, "origin-1", "", origin.point, {}},
                 {4, fleet::Role::vault, fleet::Standing::retired, "ams1-vault", "ams1", vault.point,
                  vault_sealing.point}}};
    }
    [[nodiscard]] fleet::PartyList machines() const {
        return {3,
                1'800'000'000,
                "ams1",
                {{9, fleet::Role::machine, fleet::Standing::active, "web-1", "ams1", machine.point,
                  machine_sealing.point}}};
    }
    [[nodiscard]] fleet::PreKey vaults_pre_key() const { return {4, 500'000, pre_key.point}; }
    /// Without shares.
    [[nodiscard]] static fleet::Bundle empty_bundle() {
        return {{500'000, 1}, 1'800'000'000, 1'800'003'600, {}, {0xbe, 0xf0}, {}};
    }
    [[nodiscard]] std::vector<fleet::Recipient> recipients() const {
        return {{4, 500'000, pre_key.point}, {6, 0, vault_sealing.point}};
    }
    [[nodiscard]] fleet::Bundle bundle() const {
        fleet::HourlyKey hourly;
        std::ranges::fill(hourly.span(), std::uint8_t{0x48});
        fleet::Bundle made = empty_bundle();
        seal_shares(made, id, 1, hourly, recipients());
        return made;
    }
    [[nodiscard]] static fleet::MachinePair pair() {
        static const Octets spki = rsa_spki(2048);
        return {9, "ams1", 500'000, {0xca, 0xfe}, OaepHash::sha256, spki};
    }
    /// Nothing is sealed in it yet.
    [[nodiscard]] static fleet::MachineRecord unsealed_record() {
        fleet::MachineRecord made;
        made.location = "ams1";
        made.machine = 9;
        made.counter = 12;
        made.key = {500'000, 1};
        made.not_before = 1'800'000'000;
        made.seal_until = made.not_before + 3600;
        made.open_until = made.seal_until + 7200;
        made.name = {0x6e};
        made.pair = {0xca, 0xfe};
        made.wrapped_key.assign(256, 0x77);
        return made;
    }
    [[nodiscard]] fleet::MachineRecord record() const {
        SecretArray<admission_key_size> admission_key;
        std::ranges::fill(admission_key.span(), std::uint8_t{0x41});
        fleet::MachineRecord made = unsealed_record();
        seal_admission_key(made, id, machine_sealing.point, admission_key);
        return made;
    }

    [[nodiscard]] static fleet::CeremonyOffer offer() {
        static const Octets spki = rsa_spki(3072);
        return {4, "ams1", {0x0f, 0xfe}, OaepHash::sha256, spki};
    }
    [[nodiscard]] static fleet::CeremonyShare share() {
        fleet::CeremonyShare made{6, "ams1", {0x0f, 0xfe}, 500'000, {0xc4}, OaepHash::sha256, {}};
        made.wrapped.fill(0x77);
        return made;
    }

    [[nodiscard]] Octets body(fleet::Kind kind) const {
        switch (kind) {
            case fleet::Kind::request:
                return encode_request(request());
            case fleet::Kind::list:
                return encode_list(list());
            case fleet::Kind::pre_key:
                return encode_pre_key(vaults_pre_key());
            case fleet::Kind::bundle:
                return encode_bundle(bundle());
            case fleet::Kind::pair:
                return encode_pair(pair());
            case fleet::Kind::record:
                return encode_record(record());
            case fleet::Kind::ceremony_offer:
                return encode_offer(offer());
            case fleet::Kind::ceremony_share:
                break;
        }
        return encode_share(share());
    }
    /// All by the vault's key, with the number 4 or, in a request, 0.
    [[nodiscard]] Octets frame(fleet::Kind kind) const {
        return fleet::make_frame({kind, id, kind == fleet::Kind::request ? 0U : 4U}, body(kind),
                                 vault.signer());
    }

    static Octets rsa_spki(unsigned bits) {
        const hpke::KeyPtr key(EVP_RSA_gen(bits));
        unsigned char* der = nullptr;
        const int size = i2d_PUBKEY(key.get(), &der);
        Octets spki(der, der + size);
        OPENSSL_free(der);
        return spki;
    }
};

inline const SampleFleet& sample_fleet() {
    static const SampleFleet sample;
    return sample;
}

}  // namespace stek::test
