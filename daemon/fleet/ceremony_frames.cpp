// Bodies of the ceremony's offers and shares, format version 1, which is for chains of the profile "aes-cbc
// v1". Numbers are big-endian; texts are padded with zero bytes.
//
//   ceremony offer, 508 bytes
//   offset  size
//        0     4  vault
//        4    64  location
//       68    16  nonce (CKA_ID of the RSA pair)
//       84     1  OAEP hash: 1 SHA-1, 2 SHA-256
//       85     1  zero
//       86   422  public key, DER SubjectPublicKeyInfo: RSA-3072, exponent 65537
//
//   ceremony share, 494 bytes
//        0     4  vault that it is for
//        4    64  location
//       68    16  nonce of the offer
//       84     8  epoch that the chain begins with, from 1
//       92    16  check: the first bytes of D(C, "check")
//      108     1  OAEP hash: 1 SHA-1, 2 SHA-256
//      109     1  zero
//      110   384  the seed (32 bytes), wrapped; C = D(seed, "chain")
#include "daemon/fleet/ceremony_frames.hpp"

#include "daemon/fleet/body.hpp"
#include "provider/rsa_spki.hpp"

namespace stek::fleet {
namespace {

using octets::Writer;

constexpr int modulus_bits = 3072;

/// The fields that both have.
template <class Body>
std::string unfit_common(const Body& body) {
    if (body.vault == 0)
        return "vault 0";
    if (!is_location(body.location))
        return "location is not 1 to 64 of [A-Za-z0-9._-]";
    if (is_zero(body.nonce))
        return "no nonce";
    if (body.oaep != OaepHash::sha1 && body.oaep != OaepHash::sha256)
        return "unknown OAEP hash " + std::to_string(static_cast<unsigned>(body.oaep));
    return {};
}

std::string unfit(const CeremonyOffer& offer) {
    if (std::string why = unfit_common(offer); !why.empty())
        return why;
    if (offer.public_key.size() != layout::ceremony_spki)
        return "public key of " + std::to_string(offer.public_key.size()) + " bytes";
    try {
        if (const int bits = EVP_PKEY_get_bits(parse_rsa_spki(offer.public_key).get()); bits != modulus_bits)
            return "an RSA key of " + std::to_string(bits) + " bits";
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return {};
}

std::string unfit(const CeremonyShare& share) {
    if (std::string why = unfit_common(share); !why.empty())
        return why;
    if (share.epoch == 0)
        return "epoch 0";
    return {};
}

}  // namespace

std::vector<std::uint8_t> encode_offer(const CeremonyOffer& offer) {
    refuse_if<std::invalid_argument>(Kind::ceremony_offer, unfit(offer));
    std::vector<std::uint8_t> body(layout::ceremony_offer);
    Writer out(body);
    out.number(offer.vault);
    out.padded(offer.location, location_size);
    out.bytes(offer.nonce);
    out.number(static_cast<std::uint8_t>(offer.oaep));
    out.number(std::uint8_t{0});
    out.bytes(offer.public_key);
    return body;
}

CeremonyOffer decode_offer(Bytes body) {
    BodyScanner in(body, Kind::ceremony_offer);
    CeremonyOffer offer;
    offer.vault = in.number<PartyNumber>();
    offer.location = in.padded(location_size);
    in.into(offer.nonce);
    offer.oaep = static_cast<OaepHash>(in.number<std::uint8_t>());
    in.zero<std::uint8_t>();
    const Bytes public_key = in.bytes(layout::ceremony_spki);
    offer.public_key.assign(public_key.begin(), public_key.end());
    in.end();
    refuse_if<FrameError>(Kind::ceremony_offer, unfit(offer));
    return offer;
}

std::vector<std::uint8_t> encode_share(const CeremonyShare& share) {
    refuse_if<std::invalid_argument>(Kind::ceremony_share, unfit(share));
    std::vector<std::uint8_t> body(layout::ceremony_share);
    Writer out(body);
    out.number(share.vault);
    out.padded(share.location, location_size);
    out.bytes(share.nonce);
    out.number(share.epoch);
    out.bytes(share.check);
    out.number(static_cast<std::uint8_t>(share.oaep));
    out.number(std::uint8_t{0});
    out.bytes(share.wrapped);
    return body;
}

CeremonyShare decode_share(Bytes body) {
    BodyScanner in(body, Kind::ceremony_share);
    CeremonyShare share;
    share.vault = in.number<PartyNumber>();
    share.location = in.padded(location_size);
    in.into(share.nonce);
    share.epoch = in.number<std::uint64_t>();
    in.into(share.check);
    share.oaep = static_cast<OaepHash>(in.number<std::uint8_t>());
    in.zero<std::uint8_t>();
    in.into(share.wrapped);
    in.end();
    refuse_if<FrameError>(Kind::ceremony_share, unfit(share));
    return share;
}

}  // namespace stek::fleet
