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

std::string pre_key_key(const Party& vault, std::uint64_t epoch) {
    return vault.name + "." + std::to_string(epoch);
}

}  // namespace stek::fleet
