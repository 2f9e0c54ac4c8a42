// Bodies of a machine's pairs and records, format version 1. Numbers are big-endian; times are signed (two's
// complement); texts are padded with zero bytes.
//
//   pair, 96 + n bytes
//   offset  size
//        0     4  machine
//        4    64  location
//       68     8  the first epoch that it is for
//       76    16  pair id (CKA_ID of the RSA pair)
//       92     1  OAEP hash: 1 SHA-1, 2 SHA-256
//       93     1  zero
//       94     2  n, size of the public key, at most 1100
//       96     n  public key, DER SubjectPublicKeyInfo
//
//   record, 269 + n bytes
//        0     4  machine
//        4    64  location
//       68     8  counter, from 1
//       76     8  epoch
//       84     4  revision
//       88     8  not before, Unix seconds
//       96     8  seal until
//      104     8  open until
//      112     8  period, seconds per epoch
//      120    16  key name
//      136    16  pair id
//      152     1  OAEP hash: 1 SHA-1, 2 SHA-256
//      153     1  revoked: 0 no, 1 yes (then n is 0, and what is sealed is all zero)
//      154     2  n, size of the wrapped key
//      156    65  HPKE enc
//      221    48  the admission key, sealed: 32 bytes and the tag (see record_seal.cpp)
//      269     n  wrapped key
#include "daemon/fleet/record.hpp"

#include "daemon/fleet/body.hpp"
#include "daemon/fleet/record_fields.hpp"
#include "provider/rsa_spki.hpp"

#include <string>

namespace stek::fleet {
namespace {

using octets::Writer;

std::string unfit_common(PartyNumber machine, const std::string& location, OaepHash oaep) {
    if (machine == 0)
        return "machine 0";
    if (!is_location(location))
        return "location is not 1 to 64 of [A-Za-z0-9._-]";
    if (oaep != OaepHash::sha1 && oaep != OaepHash::sha256)
        return "unknown OAEP hash " + std::to_string(static_cast<unsigned>(oaep));
    return {};
}

std::string unfit(const MachinePair& pair) {
    if (std::string why = unfit_common(pair.machine, pair.location, pair.oaep); !why.empty())
        return why;
    if (pair.public_key.size() > layout::largest_spki)
        return "public key of " + std::to_string(pair.public_key.size()) + " bytes";
    try {
        (void)rsa_numbers_of(pair.public_key);
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return {};
}

std::string unfit(const MachineRecord& record) {
    if (std::string why = unfit_fields(record); !why.empty())
        return why;
    if (record.revoked && (!is_zero(record.enc) || !is_zero(record.sealed_admission_key)))
        return "revoked, and yet something is sealed";
    if (!record.revoked && !may_be_point(record.enc))
        return "enc is not an uncompressed point";
    return {};
}

std::vector<std::uint8_t> copied(Bytes bytes) {
    return {bytes.begin(), bytes.end()};
}

bool decode_flag(BodyScanner& in, const char* what) {
    const auto value = in.number<std::uint8_t>();
    if (value > 1)
        throw FrameError(std::string("record: ") + what + " is neither yes nor no");
    return value == 1;
}

}  // namespace

std::string unfit_fields(const MachineRecord& record) {
    if (std::string why = unfit_common(record.machine, record.location, record.oaep); !why.empty())
        return why;
    if (record.counter == 0)
        return "counter 0";
    if (record.not_before < 0 || record.not_before > record.seal_until ||
        record.seal_until > record.open_until)
        return "windows not in order";
    if (record.period < 1 || record.period > longest_period)
        return "period of " + std::to_string(record.period) + " s";
    const std::size_t size = record.wrapped_key.size();
    if (record.revoked ? size != 0 : size < least_wrapped_key || size > most_wrapped_key)
        return "wrapped key of " + std::to_string(size) + " bytes";
    return {};
}

void write_sealed_head(Writer& out, const MachineRecord& record) {
    out.number(record.machine);
    out.padded(record.location, location_size);
    out.number(record.counter);
    out.number(record.key.epoch);
    out.number(record.key.revision);
    out.number(record.not_before);
    out.number(record.seal_until);
    out.number(record.open_until);
    out.number(record.period);
    out.bytes(record.name);
    out.bytes(record.pair);
    out.number(static_cast<std::uint8_t>(record.oaep));
    out.number(static_cast<std::uint8_t>(record.revoked ? 1 : 0));
    out.number(static_cast<std::uint16_t>(record.wrapped_key.size()));
}

std::vector<std::uint8_t> encode_pair(const MachinePair& pair) {
    refuse_if<std::invalid_argument>(Kind::pair, unfit(pair));
    std::vector<std::uint8_t> body(layout::pair_head + pair.public_key.size());
    Writer out(body);
    out.number(pair.machine);
    out.padded(pair.location, location_size);
    out.number(pair.epoch);
    out.bytes(pair.pair);
    out.number(static_cast<std::uint8_t>(pair.oaep));
    out.number(std::uint8_t{0});
    out.number(static_cast<std::uint16_t>(pair.public_key.size()));
    out.bytes(pair.public_key);
    return body;
}

MachinePair decode_pair(Bytes body) {
    BodyScanner in(body, Kind::pair);
    MachinePair pair;
    pair.machine = in.number<PartyNumber>();
    pair.location = in.padded(location_size);
    pair.epoch = in.number<std::uint64_t>();
    in.into(pair.pair);
    pair.oaep = static_cast<OaepHash>(in.number<std::uint8_t>());
    in.zero<std::uint8_t>();
    pair.public_key = copied(in.bytes(in.number<std::uint16_t>()));
    in.end();
    refuse_if<FrameError>(Kind::pair, unfit(pair));
    return pair;
}

PairId peek_pair_id(Bytes body) {
    constexpr std::size_t before = sizeof(PartyNumber) + location_size + sizeof(std::uint64_t);
    BodyScanner in(body, Kind::pair);
    (void)in.bytes(before);
    PairId id;
    in.into(id);
    return id;
}

std::vector<std::uint8_t> encode_record(const MachineRecord& record) {
    refuse_if<std::invalid_argument>(Kind::record, unfit(record));
    std::vector<std::uint8_t> body(layout::record_head + record.wrapped_key.size());
    Writer out(body);
    write_sealed_head(out, record);
    out.bytes(record.enc);
    out.bytes(record.sealed_admission_key);
    out.bytes(record.wrapped_key);
    return body;
}

MachineRecord decode_record(Bytes body) {
    BodyScanner in(body, Kind::record);
    MachineRecord record;
    record.machine = in.number<PartyNumber>();
    record.location = in.padded(location_size);
    record.counter = in.number<std::uint64_t>();
    record.key.epoch = in.number<std::uint64_t>();
    record.key.revision = in.number<std::uint32_t>();
    record.not_before = in.number<std::int64_t>();
    record.seal_until = in.number<std::int64_t>();
    record.open_until = in.number<std::int64_t>();
    record.period = in.number<std::uint64_t>();
    in.into(record.name);
    in.into(record.pair);
    record.oaep = static_cast<OaepHash>(in.number<std::uint8_t>());
    record.revoked = decode_flag(in, "revoked");
    const std::size_t size = in.number<std::uint16_t>();
    in.into(record.enc);
    in.into(record.sealed_admission_key);
    record.wrapped_key = copied(in.bytes(size));
    in.end();
    refuse_if<FrameError>(Kind::record, unfit(record));
    return record;
}

}  // namespace stek::fleet
