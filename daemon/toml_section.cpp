#include "daemon/toml_section.hpp"

#include "pkcs11/error.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <unistd.h>

namespace stek::daemon {

std::string whole_number(std::int64_t least, std::int64_t most) {
    return "must be a whole number from " + std::to_string(least) + " to " + std::to_string(most);
}

toml::table parse_toml(const std::string& file) {
    if (std::error_code unseen; std::filesystem::is_directory(file, unseen))
        throw ConfigError(file + ": is a directory; a file is wanted");
    if (::access(file.c_str(), R_OK) != 0)
        throw ConfigError(file + ": " + std::strerror(errno));
    try {
        return toml::parse_file(file);
    } catch (const toml::parse_error& error) {
        std::ostringstream message;
        message << file;
        if (error.source().begin.line > 0)
            message << ':' << error.source().begin.line;
        message << ": " << error.description();
        throw ConfigError(message.str());
    }
}

TomlSection::TomlSection(std::string file, std::string name, const toml::table& table, Keys known)
    : file_(std::move(file)), name_(std::move(name)), table_(&table) {
    for (const auto& [key, node] : *table_) {
        if (std::ranges::find(known, key.str()) != known.end())
            continue;
        std::string allowed;
        for (const auto& one : known)
            (allowed += allowed.empty() ? "" : ", ") += one;
        fail_at(key.source(), key.str(),
                "unknown key; " + (name_.empty() ? std::string("at the top") : "in [" + name_ + "]") +
                    " there may be " + allowed);
    }
}

std::string TomlSection::text(std::string_view key, std::optional<std::string> otherwise) {
    const auto* node = find(key, otherwise.has_value());
    if (node == nullptr)
        return *otherwise;
    if (!node->is_string())
        fail(*node, key, "must be a string in quotes");
    return node->as_string()->get();
}

std::int64_t TomlSection::number(std::string_view key, std::int64_t least, std::int64_t most,
                                 std::optional<std::int64_t> otherwise) {
    const auto* node = find(key, otherwise.has_value());
    if (node == nullptr)
        return *otherwise;
    const auto allowed = whole_number(least, most);
    if (!node->is_integer())
        fail(*node, key, allowed);
    const auto value = node->as_integer()->get();
    if (value < least || value > most)
        fail(*node, key, allowed + ", not " + std::to_string(value));
    return value;
}

bool TomlSection::flag(std::string_view key, bool otherwise) {
    const auto* node = find(key, true);
    if (node == nullptr)
        return otherwise;
    if (!node->is_boolean())
        fail(*node, key, "must be true or false");
    return node->as_boolean()->get();
}

std::string TomlSection::path(std::string_view key, std::optional<std::string> otherwise) {
    auto value = text(key, std::move(otherwise));
    if (!value.empty() && value.front() != '/')
        fail(*table_->get(key), key, "must be an absolute path, not \"" + value + "\"");
    if (value.empty() && table_->get(key) != nullptr)
        fail(*table_->get(key), key, "must be an absolute path; leave the key out if there is none");
    return value;
}

pkcs11::TokenUri TomlSection::uri(std::string_view key) {
    const auto value = text(key);
    try {
        auto parsed = pkcs11::TokenUri::parse(value);
        if (!parsed.module_path())
            fail(*table_->get(key), key, "must have a module-path attribute (?module-path=/...)");
        return parsed;
    } catch (const pkcs11::UriError& error) {
        fail(*table_->get(key), key, error.what());
    }
}

std::vector<std::string> TomlSection::users(std::string_view key) {
    return texts(key, "must be an array of user names, such as [\"www-data\"]");
}

std::vector<std::string> TomlSection::texts(std::string_view key, const std::string& allowed) {
    std::vector<std::string> names;
    const auto* node = find(key, true);
    if (node == nullptr)
        return names;
    if (!node->is_array())
        fail(*node, key, allowed);
    for (const auto& item : *node->as_array()) {
        if (!item.is_string() || item.as_string()->get().empty())
            fail(item, key, allowed);
        names.push_back(item.as_string()->get());
    }
    return names;
}

TomlSection TomlSection::section(std::string_view key, Keys known) {
    const auto* node = find(key, false);
    if (!node->is_table())
        fail(*node, key, "must be a table, [" + std::string(key) + "]");
    return {file_, std::string(key), *node->as_table(), known};
}

std::optional<TomlSection> TomlSection::section_if_there(std::string_view key, Keys known) {
    return table_->contains(key) ? std::optional(section(key, known)) : std::nullopt;
}

void TomlSection::fail_key(std::string_view key, const std::string& what) const {
    const auto* node = table_->get(key);
    fail_at(node != nullptr ? node->source() : table_->source(), key, what);
}

const toml::node* TomlSection::find(std::string_view key, bool optional) const {
    const auto* node = table_->get(key);
    if (node == nullptr && !optional)
        fail_at(table_->source(), key, "is missing and has no default");
    return node;
}

void TomlSection::fail(const toml::node& node, std::string_view key, const std::string& what) const {
    fail_at(node.source(), key, what);
}

void TomlSection::fail_at(const toml::source_region& where, std::string_view key,
                          const std::string& what) const {
    std::ostringstream message;
    message << file_ << ':' << std::max<toml::source_index>(where.begin.line, 1) << ": "
            << (name_.empty() ? "" : name_ + ".") << key << ": " << what;
    throw ConfigError(message.str());
}

}  // namespace stek::daemon
