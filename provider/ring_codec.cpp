// The key ring file, format version 1. Numbers are big-endian; times are signed (two's complement).
//
//   header, 116 bytes
//   offset  size
//        0     8  magic "stekring"
//        8     2  format version
//       10     2  number of records, at most 256
//       12     8  generation
//       20     8  written at, Unix seconds
//       28     8  period, seconds per epoch
//       36    64  location, padded with zero bytes
//      100    16  serial of the ticket token, padded with zero bytes
//
//   each record, 111 + n bytes, ordered by (epoch, revision)
//        0     8  epoch
//        8     4  revision
//       12     8  not before, Unix seconds
//       20     8  seal until
//       28     8  open until
//       36     8  destroy at, seconds of CLOCK_BOOTTIME
//       44    16  key name
//       60    32  admission key
//       92    16  pair id (CKA_ID of the RSA pair)
//      108     1  OAEP hash: 1 SHA-1, 2 SHA-256
//      109     2  n, size of the wrapped key
//      111     n  wrapped key
//
//   trailer, 32 bytes
//        0    32  SHA-256 over everything before
//
// Magic and version keep their places in every version. The checksum finds damage, not malice: who may write
// this file may as well give no ring at all.
#include "provider/key_ring.hpp"
#include "provider/octets.hpp"

#include <algorithm>
#include <cstring>
#include <set>
#include <string_view>
#include <tuple>

#include <openssl/sha.h>

namespace stek {
namespace {

constexpr std::string_view magic = "stekring";
constexpr unsigned newest_version = 1;
constexpr unsigned oldest_version = 1;  // the one before the newest, once there is one

constexpr std::size_t serial_size = 16;
constexpr std::size_t header_size = 116, record_fixed_size = 111, checksum_size = SHA256_DIGEST_LENGTH;

using octets::Writer;

struct Faults {
    [[noreturn]] static void cut_short() { throw RingError("key ring: ends within a record"); }
    [[noreturn]] static void unclean_text() {
        throw RingError("key ring: something behind the end of a text");
    }
};
using Scanner = octets::Scanner<Faults>;

std::string unfit(const RingRecord& record) {
    if (record.not_before < 0 || record.not_before > record.seal_until ||
        record.seal_until > record.open_until)
        return "windows not in order";
    if (record.oaep != OaepHash::sha1 && record.oaep != OaepHash::sha256)
        return "unknown OAEP hash " + std::to_string(static_cast<unsigned>(record.oaep));
    if (record.wrapped_key.size() < least_wrapped_key || record.wrapped_key.size() > most_wrapped_key)
        return "wrapped key of " + std::to_string(record.wrapped_key.size()) + " bytes";
    return {};
}

/// What keeps the ring from being one; empty if nothing does.
std::string unfit(const KeyRing& ring) {
    if (!is_location(ring.location))
        return "location is not 1 to 64 of [A-Za-z0-9._-]";
    const auto unprintable = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; };
    if (ring.token_serial.size() > serial_size ||
        std::any_of(ring.token_serial.begin(), ring.token_serial.end(), unprintable))
        return "token serial is not up to 16 printable bytes";
    if (ring.written_at < 0)
        return "written before 1970";
    if (ring.period < 1 || ring.period > longest_period)
        return "period of " + std::to_string(ring.period) + " s";
    if (ring.records.size() > max_ring_records)
        return std::to_string(ring.records.size()) + " records, more than " +
               std::to_string(max_ring_records);
    std::set<KeyName> names;
    const RingRecord* before = nullptr;
    for (const auto& record : ring.records) {
        if (record == nullptr)
            return "a record is missing";
        const std::string which =
            "record " + std::to_string(record->epoch) + "." + std::to_string(record->revision) + ": ";
        if (before != nullptr &&
            std::tie(before->epoch, before->revision) >= std::tie(record->epoch, record->revision))
            return which + "not in order";
        if (!names.insert(record->name).second)
            return which + "its key name is another's";
        if (const std::string why = unfit(*record); !why.empty())
            return which + why;
        before = record.get();
    }
    return {};
}

using Checksum = std::array<std::uint8_t, checksum_size>;

Checksum checksum_of(Bytes content) {
    Checksum checksum;
    if (SHA256(content.data(), content.size(), checksum.data()) == nullptr)
        throw std::runtime_error("key ring: OpenSSL gives no SHA-256");
    return checksum;
}

Secret encode_v1(const KeyRing& ring) {
    std::size_t size = header_size + checksum_size;
    for (const auto& record : ring.records)
        size += record_fixed_size + record->wrapped_key.size();
    Secret file(size);
    Writer out(file.span());
    out.padded(magic, magic.size());
    out.number(std::uint16_t{1});
    out.number(static_cast<std::uint16_t>(ring.records.size()));
    out.number(ring.generation);
    out.number(ring.written_at);
    out.number(ring.period);
    out.padded(ring.location, location_size);
    out.padded(ring.token_serial, serial_size);
    for (const auto& record : ring.records) {
        out.number(record->epoch);
        out.number(record->revision);
        out.number(record->not_before);
        out.number(record->seal_until);
        out.number(record->open_until);
        out.number(record->destroy_at);
        out.bytes(record->name);
        out.bytes(record->admission_key.bytes());
        out.bytes(record->pair);
        out.number(static_cast<std::uint8_t>(record->oaep));
        out.number(static_cast<std::uint16_t>(record->wrapped_key.size()));
        out.bytes(record->wrapped_key);
    }
    out.bytes(checksum_of(file.bytes().first(size - checksum_size)));
    return file;
}

std::unique_ptr<RingRecord> decode_record_v1(Scanner& in) {
    auto record = std::make_unique<RingRecord>();
    record->epoch = in.number<std::uint64_t>();
    record->revision = in.number<std::uint32_t>();
    record->not_before = in.number<std::int64_t>();
    record->seal_until = in.number<std::int64_t>();
    record->open_until = in.number<std::int64_t>();
    record->destroy_at = in.number<std::uint64_t>();
    in.into(record->name);
    in.into(record->admission_key.span());
    in.into(record->pair);
    record->oaep = static_cast<OaepHash>(in.number<std::uint8_t>());
    const Bytes wrapped = in.bytes(in.number<std::uint16_t>());
    record->wrapped_key.assign(wrapped.begin(), wrapped.end());
    return record;
}

std::shared_ptr<KeyRing> decode_v1(Bytes file) {
    if (file.size() < header_size + checksum_size)
        throw RingError("key ring: too short (" + std::to_string(file.size()) + " bytes)");
    const Bytes content = file.first(file.size() - checksum_size);
    const Checksum checksum = checksum_of(content);
    if (!std::equal(checksum.begin(), checksum.end(), file.end() - checksum_size))
        throw RingError("key ring: wrong checksum (damaged, or cut short)");
    Scanner in(content.subspan(magic.size() + sizeof(std::uint16_t)));
    auto ring = std::make_shared<KeyRing>();
    const std::size_t count = in.number<std::uint16_t>();
    ring->generation = in.number<std::uint64_t>();
    ring->written_at = in.number<std::int64_t>();
    ring->period = in.number<std::uint64_t>();
    ring->location = in.padded(location_size);
    ring->token_serial = in.padded(serial_size);
    for (std::size_t i = 0; i < count; ++i)
        ring->records.push_back(decode_record_v1(in));
    if (!in.at_end())
        throw RingError("key ring: something behind the last record");
    return ring;
}

}  // namespace

bool is_location(std::string_view text) noexcept {
    constexpr std::string_view allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return !text.empty() && text.size() <= location_size &&
           text.find_first_not_of(allowed) == std::string_view::npos;
}

Secret encode_ring(const KeyRing& ring, unsigned version) {
    if (const std::string why = unfit(ring); !why.empty())
        throw std::invalid_argument("key ring: " + why);
    switch (version) {
        case 1:
            return encode_v1(ring);
        default:
            throw std::invalid_argument("key ring: format version " + std::to_string(version) +
                                        " cannot be written");
    }
}

std::shared_ptr<const KeyRing> decode_ring(Bytes file) {
    if (file.size() > max_ring_file)
        throw RingError("key ring: " + std::to_string(file.size()) + " bytes, more than " +
                        std::to_string(max_ring_file));
    Scanner in(file);
    if (file.size() < magic.size() + sizeof(std::uint16_t))
        throw RingError("key ring: too short (" + std::to_string(file.size()) + " bytes)");
    if (std::memcmp(in.bytes(magic.size()).data(), magic.data(), magic.size()) != 0)
        throw RingError("key ring: not one (its first bytes are not \"stekring\")");
    const unsigned version = in.number<std::uint16_t>();
    if (version > newest_version)
        throw RingError("key ring: format version " + std::to_string(version) +
                        " is newer than this provider, which reads up to " + std::to_string(newest_version) +
                        "; upgrade it, or lower ring_version in stekd.toml");
    if (version < oldest_version)
        throw RingError("key ring: format version " + std::to_string(version) + " is no longer read");
    std::shared_ptr<KeyRing> ring = decode_v1(file);
    if (const std::string why = unfit(*ring); !why.empty())
        throw RingError("key ring: " + why);
    return ring;
}

}  // namespace stek
