// Feeds parse_settings(): each line "name = value" is one of the provider's section. Only SettingsError may
// be thrown; settings that pass are within the bounds that settings.hpp gives, and mean the same a second
// time.
#include "pkcs11/uri.hpp"
#include "provider/key_ring.hpp"
#include "provider/settings.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <climits>
#include <sstream>

namespace {

using stek::fuzz::require;

std::map<std::string, std::string> section_of(std::string_view text) {
    std::map<std::string, std::string> section;
    // From OpenSSL they come as C strings.
    std::istringstream lines{std::string(text.substr(0, text.find('\0')))};
    for (std::string line; std::getline(lines, line);)
        if (const auto equals = line.find(" = "); equals != std::string::npos)
            section[line.substr(0, equals)] = line.substr(equals + 3);
    return section;
}

bool fits_a_path(const std::string& path) {
    return path.empty() || (path.front() == '/' && path.size() < PATH_MAX);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto section = section_of(stek::fuzz::text_of(data, size));
    try {
        const stek::Settings settings = stek::parse_settings(section);
        const auto& uri = settings.token;
        require(uri.module_path() && uri.module_path()->starts_with('/'), "the token has a module");
        for (const auto* path : {&settings.module_config, &settings.keyring, &settings.stats})
            require(fits_a_path(*path), "paths are absolute");
        require(!settings.keyring.empty() || settings.attach == stek::Attach::no, "a ring, or no tickets");
        require(settings.location.empty() || stek::is_location(settings.location), "a location is one");
        require(settings.audience.size() <= 1024, "an audience is bounded");
        require(!settings.audience_replaces || !settings.audience.empty(),
                "an audience that replaces is there");
        require(settings.max_lineage >= 1 && settings.max_lineage <= 30 * 86400, "max-lineage in range");
        require(settings.stale_epochs <= 48, "stale-epochs in range");
        require(settings.max_processes >= 1 && settings.max_processes <= 1U << 20, "max-processes in range");
        const auto known = stek::setting_names();
        for (const auto& [name, value] : section)
            require(std::ranges::count(known, name) == 1 || name == "module" || name == "activate" ||
                        name == "identity" || name == "soft_load",
                    "no key that is not known");
    } catch (const stek::SettingsError& error) {
        const std::string_view what = error.what();
        require(what.find(": ") != std::string_view::npos, "an error says which key and why");
    }
    return 0;
}
