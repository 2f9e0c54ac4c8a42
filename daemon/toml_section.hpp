// One table of a TOML file, read strictly: whatever is wrong is told with file, line, key and what is
// allowed.
#pragma once

#include "daemon/config.hpp"
#include "pkcs11/uri.hpp"

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <toml++/toml.h>
#include <vector>

namespace stek::daemon {

/// "must be a whole number from 1 to 10".
std::string whole_number(std::int64_t least, std::int64_t most);

/// Throws ConfigError: no such file, a directory, not TOML.
toml::table parse_toml(const std::string& file);

/// `table` is borrowed. All functions throw ConfigError. A key without `otherwise` has to be there.
class TomlSection {
  public:
    using Keys = std::initializer_list<std::string_view>;

    /// Refuses what is not of the known keys, first of all: of [vualt] it helps nobody to hear that there is
    /// no [vault].
    TomlSection(std::string file, std::string name, const toml::table& table, Keys known);

    std::string text(std::string_view key, std::optional<std::string> otherwise = {});
    std::int64_t number(std::string_view key, std::int64_t least, std::int64_t most,
                        std::optional<std::int64_t> otherwise);
    bool flag(std::string_view key, bool otherwise);
    /// Absolute.
    std::string path(std::string_view key, std::optional<std::string> otherwise = {});
    /// With a module-path.
    pkcs11::TokenUri uri(std::string_view key);
    /// None by default. `allowed` says what there must be: an array of texts, none of them empty.
    std::vector<std::string> texts(std::string_view key, const std::string& allowed);
    std::vector<std::string> users(std::string_view key);
    TomlSection section(std::string_view key, Keys known);
    std::optional<TomlSection> section_if_there(std::string_view key, Keys known);

    [[noreturn]] void fail_key(std::string_view key, const std::string& what) const;

  private:
    const toml::node* find(std::string_view key, bool optional) const;
    [[noreturn]] void fail(const toml::node& node, std::string_view key, const std::string& what) const;
    [[noreturn]] void fail_at(const toml::source_region& where, std::string_view key,
                              const std::string& what) const;

    std::string file_, name_;
    const toml::table* table_;
};

}  // namespace stek::daemon
