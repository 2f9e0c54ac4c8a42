// The engine's keys, as text. Names of parties and locations hold no dot; numbers are decimal.
#pragma once

#include "daemon/plan.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace stek::fleet {

/// "<epoch>.<revision>"
std::string bundle_key(daemon::KeyId key);
/// Nothing for what bundle_key() does not make: leading zeros, too.
std::optional<daemon::KeyId> parse_bundle_key(std::string_view text);

/// Of the keys below that end with one. Nothing for what is none: leading zeros, too.
std::optional<std::uint64_t> parse_epoch(std::string_view text);

/// "<vault>.<epoch>". All of a vault's begin with pre_keys_of().
std::string pre_key_key(std::string_view vault, std::uint64_t epoch);
std::string pre_keys_of(std::string_view vault);

/// The first of the epochs that share a pair with this one (Policy::pair_slot), which is in the pair's key.
std::uint64_t first_epoch_of_pair(std::uint64_t epoch, const daemon::Policy& policy) noexcept;
/// "pair.<machine>.<first epoch>". All begin with all_pairs, a machine's with pairs_of().
std::string pair_key(std::string_view machine, std::uint64_t first_epoch);
std::string pairs_of(std::string_view machine);
inline constexpr char all_pairs[] = "pair.";

/// "record.<machine>.<epoch>.<revision>". All begin with all_records, a machine's with records_of().
std::string record_key(std::string_view machine, daemon::KeyId key);
std::string records_of(std::string_view machine);
inline constexpr char all_records[] = "record.";
struct RecordName {
    std::string_view machine;  ///< a part of the text
    daemon::KeyId key;
};
/// Nothing for what record_key() does not make.
std::optional<RecordName> parse_record_key(std::string_view text);
/// Which key the record is of.
std::optional<daemon::KeyId> key_of_record(std::string_view text);

}  // namespace stek::fleet
