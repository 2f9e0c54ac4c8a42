// The key ring: what stekd gives to TLS servers, one record per live STEK. The byte table is in
// ring_codec.cpp.
#pragma once

#include "pkcs11/secret.hpp"
#include "provider/mac_keys.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace stek {

using KeyName = std::array<std::uint8_t, 16>;
using PairId = std::array<std::uint8_t, 16>;  ///< CKA_ID of an RSA pair in the ticket token

inline constexpr std::size_t admission_key_size = 32;
inline constexpr std::size_t location_size = 64;                                ///< bytes, at most
inline constexpr std::size_t least_wrapped_key = 256, most_wrapped_key = 1024;  ///< RSA-2048 to RSA-8192
inline constexpr std::uint64_t longest_period = std::uint64_t{366} * 86400;     ///< seconds per epoch
inline constexpr std::size_t max_ring_records = 256;
inline constexpr std::size_t max_ring_file = std::size_t{1} << 20;  ///< bytes; a larger file is not read

/// The hash of RSA-OAEP that a STEK was wrapped with (MGF1 with the same hash).
enum class OaepHash : std::uint8_t { sha1 = 1, sha256 = 2 };

/// One STEK, for this location and (epoch, revision). Times are Unix seconds; the wall clock only selects.
struct RingRecord {
    RingRecord() = default;
    RingRecord(const RingRecord&) = delete;
    RingRecord& operator=(const RingRecord&) = delete;
    /// Who finds a wrapped key and, elsewhere, its pair has the STEK: it is wiped, too.
    ~RingRecord() { OPENSSL_cleanse(wrapped_key.data(), wrapped_key.size()); }

    std::uint64_t epoch = 0;
    std::uint32_t revision = 0;
    std::int64_t not_before = 0;  ///< seals from here
    std::int64_t seal_until = 0;  ///< seals before this
    std::int64_t open_until = 0;  ///< opens before this
    std::uint64_t destroy_at =
        0;  ///< seconds of CLOCK_BOOTTIME at which stekd destroys it, whatever the wall clock says
    KeyName name{};
    SecretArray<admission_key_size> admission_key;
    mutable MacKeys mac_keys;  ///< what ticket_mac_key() made of it; in no file and in no copy
    PairId pair{};
    OaepHash oaep = OaepHash::sha1;
    std::vector<std::uint8_t> wrapped_key;  ///< the STEK under that pair's public key; 384 bytes for RSA-3072
};

/// A whole ring; immutable once it is shared. Records are ordered by (epoch, revision), each pair of them
/// once.
struct KeyRing {
    std::string location;      ///< 1 to 64 bytes of [A-Za-z0-9._-]
    std::string token_serial;  ///< of the ticket token, up to 16 bytes
    std::uint64_t generation = 0;
    std::int64_t written_at = 0;  ///< Unix seconds
    std::uint64_t period = 3600;  ///< seconds per epoch
    std::vector<std::unique_ptr<RingRecord>> records;
    std::vector<KeyName> left_out;  ///< by without_those_over(); not in the file
};

/// A record of its own with the same content.
std::unique_ptr<RingRecord> copy_of(const RingRecord& record);
/// The same of a whole ring.
KeyRing copy_of(const KeyRing& ring);

/// Why a ring file was not taken; what() is fit for a log.
class RingError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// 1 to 64 bytes of [A-Za-z0-9._-].
bool is_location(std::string_view text) noexcept;

/// The file's bytes, in `version` (only 1 exists yet). Throws std::invalid_argument for a ring that
/// decode_ring() would refuse.
Secret encode_ring(const KeyRing& ring, unsigned version = 1);
/// Throws RingError: too short or long, magic, version, checksum, or a field out of range. Never reads past
/// `file`.
std::shared_ptr<const KeyRing> decode_ring(Bytes file);
/// The ring in a file; null if there is none. Throws RingError, std::system_error.
std::shared_ptr<const KeyRing> read_ring_file(const std::string& path);
/// Writes beside `path` and renames over it, mode 0640 then the readers' ACL as `set_access` does it (called
/// with the open file before the rename). Throws std::system_error; the old file is then still there.
void replace_ring_file(const std::string& path, Bytes file, const std::function<void(int fd)>& set_access);

// --- choosing keys: pure functions of ring and time ---

/// The largest (epoch, revision) whose not_before <= now < seal_until; if there is none, the newest begun one
/// for at most `stale_epochs` periods past its seal_until and never past its open_until; else null.
const RingRecord* sealing_record(const KeyRing& ring, std::int64_t now, unsigned stale_epochs) noexcept;
/// The record of that name if now < open_until, else null.
const RingRecord* opening_record(const KeyRing& ring, const KeyName& name, std::int64_t now) noexcept;

/// Whether a record has that name, or had it and was left out.
bool is_known(const KeyRing& ring, const KeyName& name) noexcept;

// --- what must go: pure functions of ring and time ---

/// One moment on both clocks.
struct Moment {
    std::int64_t wall_ms = 0;   ///< since 1970
    std::uint64_t boot_ms = 0;  ///< CLOCK_BOOTTIME
    static Moment now() noexcept;
};

/// Its time is over: it opens no more by the wall clock, or it is to be destroyed by its age.
bool is_over(const RingRecord& record, Moment now) noexcept;
/// When the first of the records will be over, in CLOCK_BOOTTIME milliseconds if the wall clock goes on as it
/// does; no later than a day from now. Nothing if there are no records.
std::optional<std::uint64_t> next_end(const KeyRing& ring, Moment now) noexcept;
/// The ring itself if no record is over, else a copy of the rest, which still knows the names of the others.
/// Throws std::bad_alloc.
std::shared_ptr<const KeyRing> without_those_over(std::shared_ptr<const KeyRing> ring, Moment now);

}  // namespace stek
