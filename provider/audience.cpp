#include "provider/audience.hpp"

#include "provider/framed_hash.hpp"
#include "provider/thread_own.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <string>

namespace stek {

std::string lower_case(std::string_view name) {
    std::string result(name);
    std::ranges::transform(result, result.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return result;
}

namespace {

std::optional<Audience> compute_audience(const ContextFacts* facts, const Settings& settings,
                                         std::string_view server_name) {
    FramedHash hash;
    hash.part(std::string_view("stekd audience v1"));
    hash.part(settings.audience);
    if (!settings.audience_replaces) {
        if (facts == nullptr || (facts->spki.empty() && settings.audience.empty())) {
            return std::nullopt;
        }
        hash.part(facts->spki);
        hash.part(Bytes(facts->clients));
        hash.part(lower_case(server_name));
    }
    Audience result{};
    return hash.finish(result) ? std::optional(result) : std::nullopt;
}

/// What a thread has computed, with all that it was computed from. Facts are never freed nor changed, and
/// nobody has the same ones twice: their address tells them.
struct KnownAudience {
    const ContextFacts* facts = nullptr;  ///< null: nothing is known
    std::string text, server_name;
    Audience audience{};

    [[nodiscard]] bool is_of(const ContextFacts* wanted, const Settings& settings,
                             std::string_view name) const noexcept {
        return facts == wanted && server_name == name && text == settings.audience;
    }
};
constexpr std::size_t known_audiences = 16;
constexpr std::size_t longest_known_name = 255;  // a host name; an attacker's may be longer
using KnownAudiences = std::array<KnownAudience, known_audiences>;

}  // namespace

std::optional<Audience> audience_of(const ContextFacts* facts, const Settings& settings,
                                    std::string_view server_name) noexcept {
    try {
        auto* const audiences = thread_own<KnownAudiences>();
        if (audiences == nullptr || facts == nullptr || settings.audience_replaces ||
            server_name.size() > longest_known_name) {
            return compute_audience(facts, settings, server_name);
        }
        KnownAudience& place =
            (*audiences)[(std::hash<std::string_view>()(server_name) ^ facts->number) % known_audiences];
        if (!place.is_of(facts, settings, server_name)) {
            const auto computed = compute_audience(facts, settings, server_name);
            if (!computed) {
                return std::nullopt;
            }
            place.facts = nullptr;  // until all of it is there
            place.text = settings.audience;
            place.server_name = server_name;
            place.audience = *computed;
            place.facts = facts;
        }
        return place.audience;
    } catch (const std::exception&) {
        return std::nullopt;
    }
}

std::optional<std::string_view> parse_server_name(Bytes extension) noexcept {
    // struct { NameType(1) = host_name(0); opaque HostName<1..2^16-1>; } ServerName; ServerName
    // server_name_list<1..2^16-1>
    const auto length_at = [&](std::size_t at) {
        return std::size_t{extension[at]} << 8 | extension[at + 1];
    };
    if (extension.size() < 5 || length_at(0) != extension.size() - 2 || extension[2] != 0 ||
        length_at(3) != extension.size() - 5) {
        return std::nullopt;
    }
    return std::string_view(reinterpret_cast<const char*>(extension.data()) + 5, extension.size() - 5);
}

}  // namespace stek
