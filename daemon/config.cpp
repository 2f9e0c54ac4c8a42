#include "daemon/config.hpp"

#include "pkcs11/error.hpp"

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <optional>
#include <sstream>
#include <string_view>
#include <toml++/toml.h>

namespace stek::daemon {
namespace {

constexpr std::int64_t longest_period = 366LL * 86400;
constexpr std::int64_t longest_timeout = 366LL * 86400;
constexpr std::int64_t most_stale_epochs = 48;
constexpr std::int64_t newest_ring_version = 1;
// Lost rings and jumping clocks add records; the ring must have room for some.
constexpr std::uint64_t spare_records = 16;

std::string whole_number(std::int64_t least, std::int64_t most) {
    return "must be a whole number from " + std::to_string(least) + " to " + std::to_string(most);
}

// One table of the file, and the keys that may be in it. Others are refused first: of [vualt] it helps nobody
// to hear that there is no [vault].
class Section {
  public:
    Section(std::string file, std::string name, const toml::table& table,
            std::initializer_list<std::string_view> known)
        : file_(std::move(file)), name_(std::move(name)), table_(table) {
        for (const auto& [key, node] : table_)
            if (std::find(known.begin(), known.end(), key.str()) == known.end())
                fail_at(key.source(), key.str(), "unknown key; " + place() + " there may be " + list(known));
    }

    std::string text(std::string_view key, std::optional<std::string> otherwise = {}) {
        const auto* node = find(key, otherwise.has_value());
        if (node == nullptr)
            return *otherwise;
        if (!node->is_string())
            fail(*node, key, "must be a string in quotes");
        return node->as_string()->get();
    }

    std::int64_t number(std::string_view key, std::int64_t least, std::int64_t most,
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

    bool flag(std::string_view key, bool otherwise) {
        const auto* node = find(key, true);
        if (node == nullptr)
            return otherwise;
        if (!node->is_boolean())
            fail(*node, key, "must be true or false");
        return node->as_boolean()->get();
    }

    std::string path(std::string_view key, std::optional<std::string> otherwise = {}) {
        auto value = text(key, std::move(otherwise));
        if (!value.empty() && value.front() != '/')
            fail(*table_.get(key), key, "must be an absolute path, not \"" + value + "\"");
        if (value.empty() && table_.get(key) != nullptr)
            fail(*table_.get(key), key, "must be an absolute path; leave the key out if there is none");
        return value;
    }

    pkcs11::TokenUri uri(std::string_view key) {
        const auto value = text(key);
        try {
            auto parsed = pkcs11::TokenUri::parse(value);
            if (!parsed.module_path())
                fail(*table_.get(key), key, "must have a module-path attribute (?module-path=/...)");
            return parsed;
        } catch (const pkcs11::UriError& error) {
            fail(*table_.get(key), key, error.what());
        }
    }

    std::vector<std::string> users(std::string_view key) {
        std::vector<std::string> names;
        const auto* node = find(key, true);
        if (node == nullptr)
            return names;
        constexpr auto allowed = "must be an array of user names, such as [\"www-data\"]";
        if (!node->is_array())
            fail(*node, key, allowed);
        for (const auto& item : *node->as_array()) {
            if (!item.is_string() || item.as_string()->get().empty())
                fail(item, key, allowed);
            names.push_back(item.as_string()->get());
        }
        return names;
    }

    Section section(std::string_view key, std::initializer_list<std::string_view> known) {
        const auto* node = find(key, false);
        if (!node->is_table())
            fail(*node, key, "must be a table, [" + std::string(key) + "]");
        return {file_, std::string(key), *node->as_table(), known};
    }

    [[noreturn]] void fail_key(std::string_view key, const std::string& what) const {
        const auto* node = table_.get(key);
        fail_at(node != nullptr ? node->source() : table_.source(), key, what);
    }

  private:
    static std::string list(std::initializer_list<std::string_view> names) {
        std::string all;
        for (const auto& name : names)
            (all += all.empty() ? "" : ", ") += name;
        return all;
    }

    [[nodiscard]] std::string place() const {
        return name_.empty() ? std::string("at the top") : "in [" + name_ + "]";
    }

    const toml::node* find(std::string_view key, bool optional) {
        const auto* node = table_.get(key);
        if (node == nullptr && !optional)
            fail_at(table_.source(), key, "is missing and has no default");
        return node;
    }

    [[noreturn]] void fail(const toml::node& node, std::string_view key, const std::string& what) const {
        fail_at(node.source(), key, what);
    }

    [[noreturn]] void fail_at(const toml::source_region& where, std::string_view key,
                              const std::string& what) const {
        std::ostringstream message;
        message << file_ << ':' << std::max<toml::source_index>(where.begin.line, 1) << ": "
                << (name_.empty() ? "" : name_ + ".") << key << ": " << what;
        throw ConfigError(message.str());
    }

    std::string file_, name_;
    const toml::table& table_;
};

bool fit_for_location(const std::string& name) {
    return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
    });
}

bool fits_a_ring(const Policy& policy) {
    return policy.records_alive() + spare_records <= max_ring_records;
}

std::string room_in_a_ring(const Policy& policy) {
    return "with a period of " + std::to_string(policy.period) + " s it may be at most " +
           std::to_string(longest_session_timeout(policy)) + " s, for a key ring holds " +
           std::to_string(max_ring_records) + " records";
}

toml::table parse(const std::string& file) {
    if (std::error_code unseen; std::filesystem::is_directory(file, unseen))
        throw ConfigError(file + ": is a directory; a file is wanted");
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

}  // namespace

std::uint64_t longest_session_timeout(const Policy& policy) noexcept {
    return policy.period * (max_ring_records - spare_records - 2 - policy.ahead());
}

void check_numbers(const Policy& policy, unsigned stale_epochs, const NumberNames& names) {
    const auto within = [](const std::string& name, std::uint64_t value, std::int64_t least,
                           std::int64_t most) {
        if (value < static_cast<std::uint64_t>(least) || value > static_cast<std::uint64_t>(most))
            throw ConfigError(name + ": " + whole_number(least, most) + ", not " + std::to_string(value));
    };
    within(names.period, policy.period, 1, longest_period);
    within(names.session_timeout, policy.session_timeout, 1, longest_timeout);
    within(names.stale_epochs, stale_epochs, 0, most_stale_epochs);
    if (!fits_a_ring(policy))
        throw ConfigError(names.session_timeout + ": " + room_in_a_ring(policy));
}

Config load_config(const std::string& file) {
    const auto table = parse(file);
    Section top(file, "", table,
                {"location", "period", "session_timeout", "stale_epochs", "ring_version", "readers",
                 "allow_weak_token", "vault", "ticket", "paths"});

    const auto location = top.text("location");
    if (!fit_for_location(location))
        top.fail_key("location", "must be 1 to 64 of letters, digits, '.', '_' and '-'");
    Policy policy;
    policy.period = static_cast<std::uint64_t>(top.number("period", 1, longest_period, 3600));
    policy.session_timeout =
        static_cast<std::uint64_t>(top.number("session_timeout", 1, longest_timeout, 7200));
    if (!fits_a_ring(policy))
        top.fail_key("session_timeout", room_in_a_ring(policy));
    const auto stale_epochs = static_cast<unsigned>(top.number("stale_epochs", 0, most_stale_epochs, 2));
    const auto ring_version = static_cast<unsigned>(top.number("ring_version", 1, newest_ring_version, 1));
    auto readers = top.users("readers");
    const bool allow_weak_token = top.flag("allow_weak_token", false);

    auto vault = top.section("vault", {"uri"});
    auto vault_uri = vault.uri("uri");
    auto ticket = top.section("ticket", {"uri", "private_pairs", "remake_pins"});
    auto ticket_uri = ticket.uri("uri");
    const bool private_pairs = ticket.flag("private_pairs", true);
    auto remake_pins = ticket.path("remake_pins", "");
    if (!remake_pins.empty() && !ticket_uri.token_label())
        ticket.fail_key("remake_pins", "needs a token attribute in the URI: the label of what is made anew");

    auto paths = top.section("paths", {"module_config", "provider", "keyring", "stats", "state", "control",
                                       "server_config", "metrics"});
    Config config{
        .file = file,
        .location = location,
        .policy = policy,
        .stale_epochs = stale_epochs,
        .ring_version = ring_version,
        .readers = std::move(readers),
        .allow_weak_token = allow_weak_token,
        .vault = std::move(vault_uri),
        .ticket = std::move(ticket_uri),
        .private_pairs = private_pairs,
        .remake_pins = std::move(remake_pins),
        .module_config = paths.path("module_config", ""),
        .provider = paths.path("provider"),
        .keyring = paths.path("keyring"),
        .stats = paths.path("stats", ""),
        .state = paths.path("state"),
        .control = paths.path("control", ""),
        .server_config = paths.path("server_config", ""),
        .metrics = paths.path("metrics", ""),
    };
    // One process initialises one module once: both tokens are behind it.
    if (config.vault.module_path() != config.ticket.module_path())
        ticket.fail_key("uri", "must have the module-path of the vault's URI");
    return config;
}

}  // namespace stek::daemon
