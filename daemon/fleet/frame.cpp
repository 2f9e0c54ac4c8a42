// The frame. Numbers are big-endian.
//
//   head, 52 bytes
//   offset  size
//        0     8  magic: "stek" and four letters for the kind:
//                   "stekjoin" enrolment request, "steklist" list of parties, "stekprek" pre-key,
//                   "stekbndl" bundle, "stekpair" a machine's pair, "stekrcrd" a machine's record,
//                   "stekoffr" a vault's offer to take a chain, "stekshre" its share of one
//        8     2  format version of the kind: 1
//       10     2  zero
//       12     4  size of the whole frame, signature included
//       16    32  fleet id: SHA-256 over "stekd fleet v1" and the root key's point (65 bytes)
//       48     4  number of the party that signed; 0: the root, or who asks for enrolment
//
//   body, n bytes: see party.cpp, bundle.cpp, record.cpp, ceremony_frames.cpp
//       52     n
//
//   signature, 64 bytes
//     52+n    64  ECDSA P-256 with SHA-256 over all before it: r, s (32 bytes each; IEEE P1363)
//
// Magic and version keep their places in every version.
#include "daemon/fleet/frame.hpp"

#include "daemon/fleet/body.hpp"
#include "daemon/fleet/bundle.hpp"
#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/party.hpp"
#include "provider/key_ring.hpp"

#include <algorithm>
#include <string>

#include <openssl/sha.h>

namespace stek::fleet {
namespace {

using octets::Writer;

constexpr std::size_t magic_size = 8;
constexpr std::uint16_t version = 1;

struct KindFacts {
    const char* name;
    std::string_view magic;
    std::size_t largest_body;
};

// In the order of Kind.
constexpr std::array<KindFacts, 8> kinds{{
    {"enrolment request", "stekjoin", layout::request},
    {"list", "steklist", layout::list_head + PartyList::max_parties* layout::party},
    {"pre-key", "stekprek", layout::pre_key},
    {"bundle", "stekbndl", layout::bundle_head + Bundle::max_shares* layout::share},
    {"pair", "stekpair", layout::pair_head + layout::largest_spki},
    {"record", "stekrcrd", layout::record_head + most_wrapped_key},
    {"ceremony offer", "stekoffr", layout::ceremony_offer},
    {"ceremony share", "stekshre", layout::ceremony_share},
}};
static_assert(std::ranges::all_of(kinds, [](const KindFacts& kind) {
    return kind.magic.size() == magic_size && kind.largest_body + frame_overhead <= Engine::max_value;
}));

const KindFacts& facts_of(Kind kind) noexcept {
    return kinds[static_cast<std::size_t>(kind)];
}

Bytes bytes_of(std::string_view text) noexcept {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// What is wrong with who signed; empty if nothing is.
std::string unfit(Kind kind, PartyNumber signer) {
    if (kind == Kind::request && signer != 0)
        return "signed by party " + std::to_string(signer) + ", not by who asks";
    if (kind != Kind::request && kind != Kind::list && signer == 0)
        return "signed by no party";
    return {};
}

std::string unfit_version(std::uint16_t found) {
    const std::string which = "format version " + std::to_string(found);
    if (found > version)
        return which + " is newer than this stekd, which reads up to " + std::to_string(version);
    return found < version ? which + " is no longer read" : "";
}

}  // namespace

const char* name_of(Kind kind) noexcept {
    return facts_of(kind).name;
}

std::size_t largest_frame(Kind kind) noexcept {
    return facts_of(kind).largest_body + frame_overhead;
}

std::vector<std::uint8_t> make_frame(const FrameHead& head, Bytes body, const Signer& sign) {
    refuse_if<std::invalid_argument>(head.kind, unfit(head.kind, head.signer));
    if (body.size() > facts_of(head.kind).largest_body)
        refuse_if<std::invalid_argument>(head.kind, "a body of " + std::to_string(body.size()) +
                                                        " bytes, more than " +
                                                        std::to_string(facts_of(head.kind).largest_body));
    std::vector<std::uint8_t> frame(body.size() + frame_overhead);
    Writer out(frame);
    out.bytes(bytes_of(facts_of(head.kind).magic));
    out.number(version);
    out.number(std::uint16_t{0});
    out.number(static_cast<std::uint32_t>(frame.size()));
    out.bytes(head.fleet);
    out.number(head.signer);
    out.bytes(body);
    out.bytes(sign(Bytes(frame).first(frame_head_size + body.size())));
    return frame;
}

FrameHead peek_frame(Bytes frame, Kind kind, const FleetId& fleet) {
    const auto refuse = [kind](const std::string& why) { refuse_if<FrameError>(kind, why); };
    if (frame.size() > largest_frame(kind))
        refuse(std::to_string(frame.size()) + " bytes, more than " + std::to_string(largest_frame(kind)));
    if (frame.size() < frame_overhead)
        refuse("too short (" + std::to_string(frame.size()) + " bytes)");
    BodyScanner in(frame, kind);
    if (!std::ranges::equal(in.bytes(magic_size), bytes_of(facts_of(kind).magic)))
        refuse("not one (its first bytes are not \"" + std::string(facts_of(kind).magic) + "\")");
    refuse(unfit_version(in.number<std::uint16_t>()));
    in.zero<std::uint16_t>();
    if (const auto size = in.number<std::uint32_t>(); size != frame.size())
        refuse(std::to_string(frame.size()) + " bytes, not " + std::to_string(size) + " as it says");
    if (!std::ranges::equal(in.bytes(fleet.size()), fleet))
        refuse("of another fleet");
    const auto signer = in.number<PartyNumber>();
    refuse(unfit(kind, signer));
    return {kind, fleet, signer};
}

Bytes open_frame(Bytes frame, Kind kind, const FleetId& fleet, const Point& key) {
    const FrameHead head = peek_frame(frame, kind, fleet);
    const Bytes content = frame.first(frame.size() - Signature{}.size());
    Signature signature;
    std::ranges::copy(frame.last(signature.size()), signature.begin());
    if (!verifies(key, content, signature))
        refuse_if<FrameError>(kind,
                              "the signature is not one by the key of party " + std::to_string(head.signer));
    return body_of(frame);
}

Bytes body_of(Bytes frame) noexcept {
    return frame.subspan(frame_head_size, frame.size() - frame_overhead);
}

Digest frame_hash(Bytes frame) {
    if (frame.size() < frame_overhead)
        throw FrameError("a frame to be hashed is too short (" + std::to_string(frame.size()) + " bytes)");
    return sha256_of(frame.first(frame.size() - Signature{}.size()));
}

FleetId fleet_id_of(const Point& root) {
    constexpr std::string_view label = "stekd fleet v1";
    std::array<std::uint8_t, label.size() + Point{}.size()> labelled;
    std::ranges::copy(root, std::ranges::copy(label, labelled.begin()).out);
    return sha256_of(labelled);
}

Digest sha256_of(Bytes bytes) {
    Digest digest;
    if (SHA256(bytes.data(), bytes.size(), digest.data()) == nullptr)
        throw FrameError("libcrypto gives no SHA-256");
    return digest;
}

}  // namespace stek::fleet
