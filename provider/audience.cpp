#include "provider/audience.hpp"

#include "provider/framed_hash.hpp"

#include <algorithm>
#include <string>

namespace stek {

std::string lower_case(std::string_view name) {
    std::string result(name);
    std::ranges::transform(result, result.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return result;
}

std::optional<Audience> audience_of(const ContextFacts* facts, const Settings& settings,
                                    std::string_view server_name) noexcept {
    try {
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
