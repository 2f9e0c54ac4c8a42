// H, sealed to each vault: HPKE with info "stekd bundle v1" and as AAD
//
//   offset  size
//        0    32  fleet id
//       32     4  origin: the signer of the frame
//       36    92  the bundle's bytes before its number of shares: epoch to the hash of the bundle before
//      128     4  vault
//      132     4  pre-key, as in the share
//
// So a share opens in no other bundle, from no other origin and for no other vault.
#include "daemon/fleet/body.hpp"
#include "daemon/fleet/bundle.hpp"
#include "daemon/hpke.hpp"

#include <algorithm>
#include <span>
#include <string_view>

namespace stek::fleet {
namespace {

using octets::Writer;

Bytes info() noexcept {
    static constexpr std::string_view label = "stekd bundle v1";
    return {reinterpret_cast<const std::uint8_t*>(label.data()), label.size()};
}

constexpr std::size_t aad_common_size = 32 + 4 + layout::bundle_sealed_head, aad_size = aad_common_size + 8;
using Aad = std::array<std::uint8_t, aad_size>;

/// What all shares of a bundle have in common. `bundle` is fit to be encoded.
Aad begin_aad(const Bundle& bundle, const FleetId& fleet, PartyNumber origin) {
    const Bundle head{bundle.key, bundle.not_before, bundle.not_after, bundle.hourly_hash, bundle.before, {}};
    Aad aad{};
    Writer out(aad);
    out.bytes(fleet);
    out.number(origin);
    out.bytes(Bytes(encode_bundle(head)).first(layout::bundle_sealed_head));
    return aad;
}

void finish_aad(Aad& aad, PartyNumber vault, std::uint32_t pre_key) {
    Writer out(std::span<std::uint8_t>(aad).subspan(aad_common_size));
    out.number(vault);
    out.number(pre_key);
}

SealedHourly seal_share(const Recipient& recipient, Bytes aad, const HourlyKey& hourly) {
    const hpke::Sealed sealed = hpke::seal(recipient.key, info(), aad, hourly.bytes());
    SealedHourly share{recipient.vault, recipient.pre_key, sealed.enc, {}};
    std::ranges::copy(sealed.ciphertext, share.sealed.begin());
    return share;
}

/// In the order of shares.
std::vector<const Recipient*> in_order(const std::vector<Recipient>& recipients) {
    if (recipients.size() > Bundle::max_shares)
        throw std::invalid_argument("bundle: more than " + std::to_string(Bundle::max_shares) + " vaults");
    std::vector<const Recipient*> sorted;
    sorted.reserve(recipients.size());
    for (const Recipient& recipient : recipients)
        sorted.push_back(&recipient);
    const auto vault = [](const Recipient* recipient) { return recipient->vault; };
    std::ranges::sort(sorted, {}, vault);
    if (std::ranges::adjacent_find(sorted, {}, vault) != sorted.end() ||
        (!sorted.empty() && sorted.front()->vault == 0))
        throw std::invalid_argument("bundle: a vault twice, or vault 0");
    return sorted;
}

}  // namespace

Digest hash_of_hourly(const HourlyKey& hourly) {
    static constexpr std::string_view label = "stekd hourly v1";
    SecretArray<label.size() + HourlyKey::size()> labelled;
    std::ranges::copy(hourly.bytes(), std::ranges::copy(label, labelled.span().begin()).out);
    return sha256_of(labelled.bytes());
}

void seal_shares(Bundle& bundle, const FleetId& fleet, PartyNumber origin, const HourlyKey& hourly,
                 const std::vector<Recipient>& recipients) {
    const auto sorted = in_order(recipients);
    Bundle sealed = bundle;
    sealed.hourly_hash = hash_of_hourly(hourly);
    sealed.shares.clear();
    Aad aad = begin_aad(sealed, fleet, origin);
    sealed.shares.reserve(sorted.size());
    for (const Recipient* recipient : sorted) {
        finish_aad(aad, recipient->vault, recipient->pre_key);
        sealed.shares.push_back(seal_share(*recipient, aad, hourly));
    }
    bundle = std::move(sealed);
}

void open_share(const Bundle& bundle, const SealedHourly& share, const FleetId& fleet, PartyNumber origin,
                EVP_PKEY* key, const Point& public_key, HourlyKey& out) {
    Aad aad = begin_aad(bundle, fleet, origin);
    finish_aad(aad, share.vault, share.pre_key);
    const Secret opened = hpke::open(key, public_key, share.enc, info(), aad, share.sealed);
    HourlyKey hourly;
    std::ranges::copy(opened.bytes(), hourly.span().begin());
    if (hash_of_hourly(hourly) != bundle.hourly_hash)
        throw FrameError("bundle: the share of vault " + std::to_string(share.vault) +
                         " holds another hourly key than the bundle's");
    std::ranges::copy(hourly.bytes(), out.span().begin());
}

}  // namespace stek::fleet
