#include "daemon/fleet/engine_keys.hpp"

#include <charconv>
#include <system_error>

namespace stek::fleet {

std::string bundle_key(daemon::KeyId key) {
    return std::to_string(key.epoch) + "." + std::to_string(key.revision);
}

std::optional<daemon::KeyId> parse_bundle_key(std::string_view text) {
    daemon::KeyId key;
    const char* const end = text.data() + text.size();
    const auto epoch = std::from_chars(text.data(), end, key.epoch);
    if (epoch.ec != std::errc{} || epoch.ptr == end)
        return {};
    const auto revision = std::from_chars(epoch.ptr + 1, end, key.revision);
    if (revision.ec != std::errc{})
        return {};
    // One text for one key: what was read, written again, is the text.
    return bundle_key(key) == text ? std::optional(key) : std::nullopt;
}

// The same notation as a bundle's, with the revision left out.
std::optional<std::uint64_t> parse_epoch(std::string_view text) {
    const auto key = parse_bundle_key(std::string(text) + ".0");
    return key ? std::optional(key->epoch) : std::nullopt;
}

std::string pre_keys_of(std::string_view vault) {
    return std::string(vault) + ".";
}

std::string pre_key_key(std::string_view vault, std::uint64_t epoch) {
    return pre_keys_of(vault) + std::to_string(epoch);
}

std::uint64_t first_epoch_of_pair(std::uint64_t epoch, const daemon::Policy& policy) noexcept {
    const auto slot = static_cast<std::uint64_t>(policy.pair_slot(epoch));
    return (slot + policy.period - 1) / policy.period;
}

std::string pairs_of(std::string_view machine) {
    return all_pairs + std::string(machine) + ".";
}

std::string pair_key(std::string_view machine, std::uint64_t first_epoch) {
    return pairs_of(machine) + std::to_string(first_epoch);
}

std::string records_of(std::string_view machine) {
    return all_records + std::string(machine) + ".";
}

std::string record_key(std::string_view machine, daemon::KeyId key) {
    return records_of(machine) + bundle_key(key);
}

std::optional<RecordName> parse_record_key(std::string_view text) {
    if (!text.starts_with(all_records))
        return {};
    text.remove_prefix(std::string_view(all_records).size());
    const auto dot = text.find('.');  // a machine's name has none
    if (dot == std::string_view::npos || dot == 0)
        return {};
    const auto key = parse_bundle_key(text.substr(dot + 1));
    return key ? std::optional(RecordName{text.substr(0, dot), *key}) : std::nullopt;
}

std::optional<daemon::KeyId> key_of_record(std::string_view text) {
    const auto record = parse_record_key(text);
    return record ? std::optional(record->key) : std::nullopt;
}

}  // namespace stek::fleet
