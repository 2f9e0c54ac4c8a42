// Bodies of pre-keys and bundles, format version 1. Numbers are big-endian; times are signed (two's
// complement); keys are uncompressed points (04, x, y).
//
//   pre-key, 77 bytes
//   offset  size
//        0     4  vault
//        4     8  epoch, from 1
//       12    65  the vault's HPKE key for that epoch
//
//   bundle, 96 bytes and its shares
//        0     8  epoch
//        8     4  revision
//       12     8  not before, Unix seconds
//       20     8  not after
//       28    32  SHA-256 over "stekd hourly v1" and H (32 bytes)
//       60    32  hash of the frame of the bundle before; all zero: none is known
//       92     4  number of shares, at most 8192
//
//   each share, 121 bytes, in rising order of vault
//        0     4  vault
//        4     4  the low 32 bits of the pre-key's epoch; 0: the vault's long-lived key
//        8    65  HPKE enc
//       73    48  H, sealed: 32 bytes and the tag (see bundle_shares.cpp)
#include "daemon/fleet/bundle.hpp"

#include "daemon/fleet/body.hpp"

namespace stek::fleet {
namespace {

using octets::Writer;

std::string unfit(const PreKey& pre_key) {
    if (pre_key.vault == 0)
        return "vault 0";
    if (pre_key.epoch == 0)
        return "epoch 0";
    if (!is_point(pre_key.key))
        return "its key is not a point of P-256";
    return {};
}

std::string unfit(const Bundle& bundle) {
    if (bundle.not_before < 0 || bundle.not_before >= bundle.not_after)
        return "window not in order";
    if (bundle.shares.size() > Bundle::max_shares)
        return std::to_string(bundle.shares.size()) + " shares, more than " +
               std::to_string(Bundle::max_shares);
    PartyNumber before = 0;
    for (const SealedHourly& share : bundle.shares) {
        const std::string which = "share of vault " + std::to_string(share.vault) + ": ";
        if (share.vault <= before)
            return which + "not in order";
        if (!may_be_point(share.enc))
            return which + "enc is not an uncompressed point";
        before = share.vault;
    }
    return {};
}

void encode_share(Writer& out, const SealedHourly& share) {
    out.number(share.vault);
    out.number(share.pre_key);
    out.bytes(share.enc);
    out.bytes(share.sealed);
}

SealedHourly decode_share(BodyScanner& in) {
    SealedHourly share;
    share.vault = in.number<PartyNumber>();
    share.pre_key = in.number<std::uint32_t>();
    in.into(share.enc);
    in.into(share.sealed);
    return share;
}

}  // namespace

std::vector<std::uint8_t> encode_pre_key(const PreKey& pre_key) {
    refuse_if<std::invalid_argument>(Kind::pre_key, unfit(pre_key));
    std::vector<std::uint8_t> body(layout::pre_key);
    Writer out(body);
    out.number(pre_key.vault);
    out.number(pre_key.epoch);
    out.bytes(pre_key.key);
    return body;
}

PreKey decode_pre_key(Bytes body) {
    BodyScanner in(body, Kind::pre_key);
    PreKey pre_key;
    pre_key.vault = in.number<PartyNumber>();
    pre_key.epoch = in.number<std::uint64_t>();
    in.into(pre_key.key);
    in.end();
    refuse_if<FrameError>(Kind::pre_key, unfit(pre_key));
    return pre_key;
}

std::vector<std::uint8_t> encode_bundle(const Bundle& bundle) {
    refuse_if<std::invalid_argument>(Kind::bundle, unfit(bundle));
    std::vector<std::uint8_t> body(layout::bundle_head + bundle.shares.size() * layout::share);
    Writer out(body);
    out.number(bundle.key.epoch);
    out.number(bundle.key.revision);
    out.number(bundle.not_before);
    out.number(bundle.not_after);
    out.bytes(bundle.hourly_hash);
    out.bytes(bundle.before);
    out.number(static_cast<std::uint32_t>(bundle.shares.size()));
    for (const SealedHourly& share : bundle.shares)
        encode_share(out, share);
    return body;
}

Bundle decode_bundle(Bytes body) {
    BodyScanner in(body, Kind::bundle);
    Bundle bundle;
    bundle.key.epoch = in.number<std::uint64_t>();
    bundle.key.revision = in.number<std::uint32_t>();
    bundle.not_before = in.number<std::int64_t>();
    bundle.not_after = in.number<std::int64_t>();
    in.into(bundle.hourly_hash);
    in.into(bundle.before);
    const std::size_t count = in.count(Bundle::max_shares, layout::share);
    bundle.shares.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
        bundle.shares.push_back(decode_share(in));
    in.end();
    refuse_if<FrameError>(Kind::bundle, unfit(bundle));
    return bundle;
}

}  // namespace stek::fleet
