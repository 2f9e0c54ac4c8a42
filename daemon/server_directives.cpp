#include "daemon/server_directives.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

namespace stek::daemon {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t usual_timeout = 300;  // of all three

/// The file itself, or the .conf files of a directory; of one where names need no ending, all.
std::vector<std::string> files_in(const std::string& folder, const std::vector<std::string>& names) {
    std::vector<std::string> files;
    std::error_code error;
    for (const auto& name : names) {
        const auto path = fs::path(folder) / name;
        if (!fs::is_directory(path, error)) {
            files.push_back(path.string());
            continue;
        }
        std::vector<std::string> inside;
        for (const auto& entry : fs::directory_iterator(path, error))
            if (name == "sites-enabled" || entry.path().extension() == ".conf")
                inside.push_back(entry.path().string());
        std::sort(inside.begin(), inside.end());
        files.insert(files.end(), inside.begin(), inside.end());
    }
    return files;
}

/// A file's text without comments. A # within quotes is taken for one too: that hides a directive, and
/// invents none.
std::string text_of(const std::string& file) {
    std::ifstream in(file);
    std::string text;
    for (std::string line; std::getline(in, line);)
        text += line.substr(0, line.find('#')) + '\n';
    return text;
}

std::vector<std::string> matches(const std::string& text, const std::regex& pattern) {
    std::vector<std::string> values;
    for (std::sregex_iterator match(text.begin(), text.end(), pattern), end; match != end; ++match)
        values.push_back((*match)[1].str());
    return values;
}

struct Patterns {
    std::regex ban, timeout;
    std::string ban_setting, timeout_setting;
};

ServerDirectives read(const std::vector<std::string>& files, const Patterns& patterns) {
    ServerDirectives found;
    found.session_timeout = usual_timeout;
    found.timeout_setting = "its default";
    for (const auto& file : files) {
        const auto text = text_of(file);
        if (!matches(text, patterns.ban).empty())
            found.bans.push_back({file, patterns.ban_setting});
        for (const auto& value : matches(text, patterns.timeout)) {
            const auto seconds = parse_timeout(value);
            if (!seconds || *seconds <= found.session_timeout)
                continue;
            found.session_timeout = *seconds;
            found.timeout_setting = patterns.timeout_setting + " in " + file;
        }
    }
    return found;
}

constexpr auto any_case = std::regex::ECMAScript | std::regex::icase;

}  // namespace

ServerDirectives read_nginx(const std::string& folder) {
    const auto files = files_in(folder, {"nginx.conf", "modules-enabled", "conf.d", "sites-enabled"});
    auto found = read(files, {.ban = std::regex(R"((?:^|[\s;{}])(ssl_session_tickets\s+off)\s*;)"),
                              .timeout = std::regex(R"((?:^|[\s;{}])ssl_session_timeout\s+([^;]+);)"),
                              .ban_setting = "ssl_session_tickets off",
                              .timeout_setting = "ssl_session_timeout"});
    const std::regex env(R"((?:^|[\s;{}])(env\s+OPENSSL_CONF)(?:=[^;]*)?\s*;)");
    found.keeps_openssl_conf = std::any_of(
        files.begin(), files.end(), [&](const auto& file) { return !matches(text_of(file), env).empty(); });
    return found;
}

ServerDirectives read_haproxy(const std::string& folder) {
    return read(files_in(folder, {"haproxy.cfg"}),
                {.ban = std::regex(R"((?:^|\s)(no-tls-tickets)(?=\s))"),
                 .timeout = std::regex(R"((?:^|\s)tune\.ssl\.lifetime[ \t]+(\S+))"),
                 .ban_setting = "no-tls-tickets",
                 .timeout_setting = "tune.ssl.lifetime"});
}

ServerDirectives read_apache(const std::string& folder) {
    return read(files_in(folder, {"apache2.conf", "mods-enabled", "conf-enabled", "sites-enabled"}),
                {.ban = std::regex(R"((?:^|\s)(SSLSessionTickets[ \t]+"?off"?)(?=\s))", any_case),
                 .timeout = std::regex(R"((?:^|\s)SSLSessionCacheTimeout[ \t]+(\S+))", any_case),
                 .ban_setting = "SSLSessionTickets off",
                 .timeout_setting = "SSLSessionCacheTimeout"});
}

std::optional<std::int64_t> parse_timeout(std::string_view text) {
    struct Unit {
        std::string_view name;
        std::int64_t microseconds;
    };
    constexpr std::int64_t second = 1'000'000, day = 86400 * second;
    constexpr std::array<Unit, 10> units{{{"", second},
                                          {"us", 1},
                                          {"ms", 1000},
                                          {"s", second},
                                          {"m", 60 * second},
                                          {"h", 3600 * second},
                                          {"d", day},
                                          {"w", 7 * day},
                                          {"M", 30 * day},
                                          {"y", 365 * day}}};
    std::int64_t total = 0;
    bool any = false;
    for (std::size_t at = 0; at < text.size();) {
        if (std::isspace(static_cast<unsigned char>(text[at])) != 0) {
            ++at;
            continue;
        }
        std::int64_t number = 0;
        const auto begin = at;
        for (; at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0; ++at)
            if (number < INT64_MAX / 16)
                number = number * 10 + (text[at] - '0');
        const auto unit_begin = at;
        while (at < text.size() && std::isalpha(static_cast<unsigned char>(text[at])) != 0)
            ++at;
        const auto name = text.substr(unit_begin, at - unit_begin);
        const auto* unit =
            std::find_if(units.begin(), units.end(), [&](const Unit& u) { return u.name == name; });
        if (unit_begin == begin || unit == units.end() || number > INT64_MAX / 2 / unit->microseconds)
            return {};
        total += number * unit->microseconds;
        if (total > INT64_MAX / 2)
            return {};
        any = true;
    }
    return any ? std::optional((total + second - 1) / second) : std::nullopt;
}

}  // namespace stek::daemon
