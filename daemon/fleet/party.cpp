// Bodies of enrolment requests and lists, format version 1. Numbers are big-endian; times are signed (two's
// complement); texts are padded with zero bytes; keys are uncompressed points (04, x, y).
//
//   enrolment request, 260 bytes
//   offset  size
//        0     1  role: 1 origin, 2 vault, 3 machine
//        1     1  zero
//        2    64  name
//       66    64  location; all zero for an origin
//      130    65  signing key; the frame's signature is by it
//      195    65  sealing key; all zero for an origin
//
//   list, 84 bytes and its parties
//        0     8  serial, from 1
//        8     8  signed at, Unix seconds
//       16    64  location whose machines these are; all zero: the fleet's list, of origins and vaults
//       80     4  number of parties, at most 7900
//
//   each party, 264 bytes, in rising order of number
//        0     4  number, from 1
//        4     1  role
//        5     1  standing: 1 active, 2 retired
//        6    64  name, no other's in this list
//       70    64  location; all zero for an origin
//      134    65  signing key
//      199    65  sealing key; all zero for an origin
#include "daemon/fleet/party.hpp"

#include "daemon/fleet/body.hpp"
#include "provider/key_ring.hpp"

#include <algorithm>
#include <set>
#include <string_view>

namespace stek::fleet {
namespace {

using octets::Writer;

constexpr std::size_t request_signing_key = 130;

/// What keeps that from being a party, or from becoming one; empty if nothing does.
template <class Who>
std::string unfit_identity(const Who& who) {
    if (who.role != Role::origin && who.role != Role::vault && who.role != Role::machine)
        return "unknown role " + std::to_string(static_cast<unsigned>(who.role));
    if (!is_party_name(who.name))
        return "name is not 1 to 64 of [A-Za-z0-9_-]";
    if (!may_be_point(who.signing_key))
        return "signing key is not an uncompressed point";
    if (who.role == Role::origin) {
        if (!who.location.empty() || !is_zero(who.sealing_key))
            return "an origin with a location or a sealing key";
        return {};
    }
    if (!is_location(who.location))
        return "location is not 1 to 64 of [A-Za-z0-9._-]";
    if (!may_be_point(who.sealing_key))
        return "sealing key is not an uncompressed point";
    return {};
}

std::string unfit(const EnrolmentRequest& request) {
    if (std::string why = unfit_identity(request); !why.empty())
        return why;
    if (!is_point(request.signing_key) || (request.role != Role::origin && !is_point(request.sealing_key)))
        return "a key is not a point of P-256";
    return {};
}

std::string unfit(const Party& party, const PartyList& list) {
    if (party.standing != Standing::active && party.standing != Standing::retired)
        return "unknown standing " + std::to_string(static_cast<unsigned>(party.standing));
    if (std::string why = unfit_identity(party); !why.empty())
        return why;
    if ((party.role == Role::machine) == list.location.empty())
        return "not a role for this list";
    if (party.role == Role::machine && party.location != list.location)
        return "of another location";
    return {};
}

std::string unfit(const PartyList& list) {
    if (list.serial == 0)
        return "serial 0";
    if (list.signed_at < 0)
        return "signed before 1970";
    if (!list.location.empty() && !is_location(list.location))
        return "location is not up to 64 of [A-Za-z0-9._-]";
    if (list.parties.size() > PartyList::max_parties)
        return std::to_string(list.parties.size()) + " parties, more than " +
               std::to_string(PartyList::max_parties);
    std::set<std::string_view> names;
    PartyNumber before = 0;
    for (const Party& party : list.parties) {
        const std::string which = "party " + std::to_string(party.number) + ": ";
        if (party.number <= before)
            return which + "not in order";
        if (std::string why = unfit(party, list); !why.empty())
            return which + why;
        if (!names.insert(party.name).second)
            return which + "its name is another's";
        before = party.number;
    }
    return {};
}

Party decode_party(BodyScanner& in) {
    Party party;
    party.number = in.number<PartyNumber>();
    party.role = static_cast<Role>(in.number<std::uint8_t>());
    party.standing = static_cast<Standing>(in.number<std::uint8_t>());
    party.name = in.padded(layout::name);
    party.location = in.padded(location_size);
    in.into(party.signing_key);
    in.into(party.sealing_key);
    return party;
}

void encode_party(Writer& out, const Party& party) {
    out.number(party.number);
    out.number(static_cast<std::uint8_t>(party.role));
    out.number(static_cast<std::uint8_t>(party.standing));
    out.padded(party.name, layout::name);
    out.padded(party.location, location_size);
    out.bytes(party.signing_key);
    out.bytes(party.sealing_key);
}

}  // namespace

bool is_party_name(std::string_view text) noexcept {
    constexpr std::string_view allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    return !text.empty() && text.size() <= layout::name &&
           text.find_first_not_of(allowed) == std::string_view::npos;
}

const Party* PartyList::find(PartyNumber number) const noexcept {
    const auto found = std::ranges::lower_bound(parties, number, {}, &Party::number);
    return found != parties.end() && found->number == number ? &*found : nullptr;
}

const Party* PartyList::find(std::string_view name) const noexcept {
    const auto found = std::ranges::find(parties, name, &Party::name);
    return found != parties.end() ? &*found : nullptr;
}

std::string fingerprint(const EnrolmentRequest& request) {
    return in_groups(sha256_of(encode_request(request)));
}

std::string in_groups(const Digest& digest) {
    constexpr std::string_view digits = "0123456789abcdef";
    constexpr std::size_t shown = 16;
    std::string text;
    for (std::size_t i = 0; i < shown; ++i) {
        if (i > 0 && i % 2 == 0)
            text += '-';
        text += digits[digest[i] >> 4];
        text += digits[digest[i] & 15];
    }
    return text;
}

std::vector<std::uint8_t> encode_list(const PartyList& list) {
    refuse_if<std::invalid_argument>(Kind::list, unfit(list));
    std::vector<std::uint8_t> body(layout::list_head + list.parties.size() * layout::party);
    Writer out(body);
    out.number(list.serial);
    out.number(list.signed_at);
    out.padded(list.location, location_size);
    out.number(static_cast<std::uint32_t>(list.parties.size()));
    for (const Party& party : list.parties)
        encode_party(out, party);
    return body;
}

PartyList decode_list(Bytes body) {
    BodyScanner in(body, Kind::list);
    PartyList list;
    list.serial = in.number<std::uint64_t>();
    list.signed_at = in.number<std::int64_t>();
    list.location = in.padded(location_size);
    const std::size_t count = in.count(PartyList::max_parties, layout::party);
    list.parties.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
        list.parties.push_back(decode_party(in));
    in.end();
    refuse_if<FrameError>(Kind::list, unfit(list));
    return list;
}

std::vector<std::uint8_t> encode_request(const EnrolmentRequest& request) {
    refuse_if<std::invalid_argument>(Kind::request, unfit(request));
    std::vector<std::uint8_t> body(layout::request);
    Writer out(body);
    out.number(static_cast<std::uint8_t>(request.role));
    out.number(std::uint8_t{0});
    out.padded(request.name, layout::name);
    out.padded(request.location, location_size);
    out.bytes(request.signing_key);
    out.bytes(request.sealing_key);
    return body;
}

EnrolmentRequest decode_request(Bytes body) {
    BodyScanner in(body, Kind::request);
    EnrolmentRequest request;
    request.role = static_cast<Role>(in.number<std::uint8_t>());
    in.zero<std::uint8_t>();
    request.name = in.padded(layout::name);
    request.location = in.padded(location_size);
    in.into(request.signing_key);
    in.into(request.sealing_key);
    in.end();
    refuse_if<FrameError>(Kind::request, unfit(request));
    return request;
}

EnrolmentRequest open_request(Bytes frame, const FleetId& fleet) {
    (void)peek_frame(frame, Kind::request, fleet);
    // All that is taken from the body before its signature is good: the key that has to have made it.
    if (frame.size() != frame_overhead + layout::request)
        refuse_if<FrameError>(Kind::request, "a body of another size");
    Point key;
    std::ranges::copy(frame.subspan(frame_head_size + request_signing_key, key.size()), key.begin());
    return decode_request(open_frame(frame, Kind::request, fleet, key));
}

}  // namespace stek::fleet
