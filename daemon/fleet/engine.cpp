#include "daemon/fleet/engine.hpp"

#include <algorithm>

namespace stek::fleet {
namespace {

constexpr std::size_t longest_bucket = 250, longest_key = 255, longest_location = 64;

// Not isalnum(), which asks the locale.
bool is_plain(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool is_plain_or_dot(char c) noexcept {
    return is_plain(c) || c == '.';
}

[[noreturn]] void refuse(const char* what, const std::string& name) {
    throw std::invalid_argument("no " + std::string(what) + "'s name: \"" + name + "\"");
}

}  // namespace

bool fit_for_bucket(std::string_view name) noexcept {
    return !name.empty() && name.size() <= longest_bucket && std::all_of(name.begin(), name.end(), is_plain);
}

bool fit_for_key(std::string_view name) noexcept {
    return !name.empty() && name.size() <= longest_key &&
           std::all_of(name.begin(), name.end(), is_plain_or_dot) && name.front() != '.' &&
           name.back() != '.' && name.find("..") == std::string_view::npos;
}

void check_bucket(const std::string& bucket) {
    if (!fit_for_bucket(bucket))
        refuse("bucket", bucket);
}

void check_names(const std::string& bucket, const std::string& key) {
    check_bucket(bucket);
    if (!fit_for_key(key))
        refuse("key", key);
}

void check_value(Bytes value) {
    if (value.size() > Engine::max_value)
        throw std::invalid_argument("a value of " + std::to_string(value.size()) + " bytes, more than " +
                                    std::to_string(Engine::max_value));
}

std::string bucket::of_location(const std::string& location) {
    if (location.empty() || location.size() > longest_location ||
        !std::all_of(location.begin(), location.end(), is_plain_or_dot))
        refuse("location", location);
    // A NATS bucket has no dots. The prefix keeps a location that is called "hourly" out of the hourly keys.
    std::string name = "stek-location-";
    for (const char c : location) {
        if (c == '.')
            name += "_-";
        else if (c == '_')
            name += "__";
        else
            name += c;
    }
    return name;
}

}  // namespace stek::fleet
