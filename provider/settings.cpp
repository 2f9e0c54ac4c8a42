#include "provider/settings.hpp"

#include "pkcs11/error.hpp"
#include "pkcs11/uri.hpp"
#include "provider/key_ring.hpp"

#include <algorithm>
#include <charconv>
#include <climits>
#include <string_view>

namespace stek {
namespace {

constexpr std::int64_t longest_lineage = std::int64_t{30} * 86400;
constexpr std::uint64_t most_stale_epochs = 48;
constexpr std::uint64_t most_processes = std::uint64_t{1} << 20;
constexpr std::size_t longest_audience = 1024;

[[noreturn]] void refuse(std::string_view key, const std::string& value, const std::string& allowed) {
    throw SettingsError(std::string(key) + " = " + value + ": " + allowed);
}

std::uint64_t number(std::string_view key, const std::string& value, std::uint64_t least,
                     std::uint64_t most) {
    std::uint64_t parsed = 0;
    const char* end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, parsed);
    if (error != std::errc{} || stop != end || parsed < least || parsed > most)
        refuse(key, value, "not a number from " + std::to_string(least) + " to " + std::to_string(most));
    return parsed;
}

bool yes_or_no(std::string_view key, const std::string& value) {
    if (value != "yes" && value != "no")
        refuse(key, value, "neither yes nor no");
    return value == "yes";
}

/// Servers change directory, so a relative path would mean several files.
std::string absolute_path(std::string_view key, const std::string& value) {
    if (value.empty() || value.front() != '/')
        refuse(key, value, "not an absolute path");
    if (value.size() >= PATH_MAX)
        refuse(key, value.substr(0, 64) + "...", "longer than a path can be");
    return value;
}

/// The URI stays unquoted here: what stands in its pin-source may be a PIN in the wrong place.
pkcs11::TokenUri token_uri(std::string_view key, const std::string& value) {
    const auto refuse_unquoted = [key](const std::string& why) {
        throw SettingsError(std::string(key) + ": " + why);
    };
    pkcs11::TokenUri uri;
    try {
        uri = pkcs11::TokenUri::parse(value);
        if (!uri.module_path())
            refuse_unquoted("the URI has no module-path attribute");
        if (!uri.module_path()->starts_with('/'))
            refuse_unquoted("the URI's module-path is not an absolute path");
    } catch (const pkcs11::UriError& error) {
        refuse_unquoted(error.what());
    }
    return uri;
}

void read_attach(Settings& settings, std::string_view key, const std::string& value) {
    if (value == "force")
        settings.attach = Attach::force;
    else if (value == "yes" || value == "no")
        settings.attach = value == "yes" ? Attach::yes : Attach::no;
    else
        refuse(key, value, "not one of yes, no, force");
}

void read_audience(Settings& settings, std::string_view key, const std::string& value) {
    constexpr std::string_view only = "only:";
    settings.audience_replaces = value.starts_with(only);
    settings.audience = settings.audience_replaces ? value.substr(only.size()) : value;
    if (settings.audience.empty() || settings.audience.size() > longest_audience)
        refuse(key, value.substr(0, 64), "not a text of 1 to " + std::to_string(longest_audience) + " bytes");
}

void read_location(Settings& settings, std::string_view key, const std::string& value) {
    if (!is_location(value))
        refuse(key, value, "not 1 to 64 of [A-Za-z0-9._-]");
    settings.location = value;
}

struct Key {
    std::string_view name;
    void (*read)(Settings&, std::string_view key, const std::string& value);
};

using Text = const std::string&;
constexpr Key keys[] = {
    {"token", [](Settings& s, std::string_view key, Text value) { s.token = token_uri(key, value); }},
    {"module-config",
     [](Settings& s, std::string_view key, Text value) { s.module_config = absolute_path(key, value); }},
    {"keyring", [](Settings& s, std::string_view key, Text value) { s.keyring = absolute_path(key, value); }},
    {"location", read_location},
    {"stats", [](Settings& s, std::string_view key, Text value) { s.stats = absolute_path(key, value); }},
    {"attach", read_attach},
    {"audience", read_audience},
    {"max-lineage",
     [](Settings& s, std::string_view key, Text value) {
         s.max_lineage = static_cast<std::int64_t>(number(key, value, 1, longest_lineage));
     }},
    {"early-data",
     [](Settings& s, std::string_view key, Text value) { s.early_data = yes_or_no(key, value); }},
    {"stale-epochs",
     [](Settings& s, std::string_view key, Text value) {
         s.stale_epochs = static_cast<unsigned>(number(key, value, 0, most_stale_epochs));
     }},
    {"max-processes", [](Settings& s, std::string_view key,
                         Text value) { s.max_processes = number(key, value, 1, most_processes); }},
};

/// config(5): libcrypto's own, handed to the provider with the rest.
constexpr std::string_view openssl_keys[] = {"module", "activate", "identity", "soft_load"};

[[noreturn]] void refuse_unknown(const std::string& name) {
    std::string known;
    for (const Key& key : keys)
        known.append(known.empty() ? "" : ", ").append(key.name);
    // The value stays unsaid: it may be a PIN under a guessed name.
    throw SettingsError(name + ": no such key; there are " + known);
}

}  // namespace

std::vector<std::string_view> setting_names() {
    std::vector<std::string_view> names;
    for (const Key& key : keys)
        names.push_back(key.name);
    return names;
}

Settings parse_settings(const std::map<std::string, std::string>& section) {
    Settings settings;
    for (const auto& [name, value] : section) {
        if (std::ranges::find(openssl_keys, name) != std::end(openssl_keys))
            continue;
        const auto* key = std::ranges::find(keys, name, &Key::name);
        if (key == std::end(keys))
            refuse_unknown(name);
        key->read(settings, name, value);
    }
    if (settings.token.text().empty())
        throw SettingsError("token: missing; a PKCS#11 URI (RFC 7512) with module-path");
    if (settings.keyring.empty() && settings.attach != Attach::no)
        throw SettingsError("keyring: missing; the path of the key ring, unless attach = no");
    return settings;
}

}  // namespace stek
