// {"version": 1, "counter": 2048,
//  "pinned": [{"epoch": 494000, "revision": 0, "hash": "64 hexadecimal digits"}, ...],
//  "revoked": [{"epoch": 494000, "revision": 0}, ...]}       each in rising order
#include "daemon/fleet/location_memory.hpp"

#include "daemon/state.hpp"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <stdexcept>
#include <string>

#include <nlohmann/json.hpp>

namespace stek::fleet {
namespace {

using nlohmann::json;

constexpr unsigned format_version = 1;

json json_of(KeyId key) {
    return {{"epoch", key.epoch}, {"revision", key.revision}};
}

/// An object of just those members: what is unknown was written by a stekd that remembers more than this.
const json& with_members(const json& in, std::initializer_list<const char*> names) {
    if (!in.is_object() || in.size() != names.size() ||
        !std::ranges::all_of(names, [&in](const char* name) { return in.contains(name); }))
        throw std::invalid_argument("an object with missing or unknown members");
    return in;
}

std::uint64_t number(const json& in, std::uint64_t most) {
    if (!in.is_number_unsigned() || in.get<std::uint64_t>() > most)
        throw std::invalid_argument("not a whole number from 0 to " + std::to_string(most));
    return in.get<std::uint64_t>();
}

const json& array(const json& in) {
    if (!in.is_array())
        throw std::invalid_argument("not an array");
    return in;
}

std::uint8_t nibble(char c) {
    if (c >= '0' && c <= '9')
        return static_cast<std::uint8_t>(c - '0');
    if (c >= 'a' && c <= 'f')
        return static_cast<std::uint8_t>(c - 'a' + 10);
    throw std::invalid_argument("not lower-case hexadecimal");
}

Digest digest(const json& in) {
    const auto& text = in.get_ref<const std::string&>();
    Digest out;
    if (text.size() != 2 * out.size())
        throw std::invalid_argument("a hash is 32 bytes");
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<std::uint8_t>(nibble(text[2 * i]) << 4 | nibble(text[2 * i + 1]));
    return out;
}

KeyId key_id(const json& in) {
    return {number(in.at("epoch"), std::numeric_limits<std::uint64_t>::max()),
            static_cast<std::uint32_t>(number(in.at("revision"), std::numeric_limits<std::uint32_t>::max()))};
}

LocationMemory from_json(const json& in) {
    with_members(in, {"version", "counter", "pinned", "revoked"});
    if (number(in.at("version"), std::numeric_limits<std::uint64_t>::max()) != format_version)
        throw std::invalid_argument("of another version");
    LocationMemory memory;
    memory.counter = number(in.at("counter"), std::numeric_limits<std::uint64_t>::max());
    for (const json& item : array(in.at("pinned"))) {
        with_members(item, {"epoch", "revision", "hash"});
        if (!memory.pinned.emplace(key_id(item), digest(item.at("hash"))).second)
            throw std::invalid_argument("pinned twice");
    }
    for (const json& item : array(in.at("revoked")))
        if (!memory.revoked.insert(key_id(with_members(item, {"epoch", "revision"}))).second)
            throw std::invalid_argument("revoked twice");
    return memory;
}

/// nlohmann-json keeps the last of two members of one name; which was meant is not for it to say.
json parse_without_doubles(Bytes file) {
    std::vector<std::set<std::string>> open;
    return json::parse(file.begin(), file.end(), [&open](int, json::parse_event_t event, json& value) {
        if (event == json::parse_event_t::object_start)
            open.emplace_back();
        else if (event == json::parse_event_t::object_end)
            open.pop_back();
        else if (event == json::parse_event_t::key && !open.back().insert(value.get<std::string>()).second)
            throw std::invalid_argument("a member twice");
        return true;
    });
}

}  // namespace

std::vector<std::uint8_t> encode_memory(const LocationMemory& memory) {
    json pinned = json::array(), revoked = json::array();
    for (const auto& [key, hash] : memory.pinned) {
        pinned.push_back(json_of(key));
        pinned.back()["hash"] = daemon::hex(hash);
    }
    for (const KeyId key : memory.revoked)
        revoked.push_back(json_of(key));
    const json out{
        {"version", format_version}, {"counter", memory.counter}, {"pinned", pinned}, {"revoked", revoked}};
    const std::string text = out.dump(1) + "\n";
    return {text.begin(), text.end()};
}

LocationMemory decode_location_memory(Bytes file) {
    try {
        return from_json(parse_without_doubles(file));
    } catch (const std::exception& error) {
        throw std::runtime_error(std::string("what the location remembers: ") + error.what());
    }
}

}  // namespace stek::fleet
