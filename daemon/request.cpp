#include "daemon/request.hpp"

#include <limits>
#include <set>
#include <vector>

#include <nlohmann/json.hpp>

namespace stek::daemon {
namespace {

using nlohmann::json;

constexpr int deepest = 4;  // levels; a request has three

// The library keeps the last of two members with one name, and another reader might keep the first.
json parse(std::string_view text) {
    std::vector<std::set<std::string>> names;
    const auto check = [&names](int depth, json::parse_event_t event, json& value) {
        if (depth > deepest)
            throw RequestError("the request is nested too deep");
        if (event == json::parse_event_t::object_start)
            names.emplace_back();
        else if (event == json::parse_event_t::object_end)
            names.pop_back();
        else if (event == json::parse_event_t::key && !names.back().insert(value.get<std::string>()).second)
            throw RequestError("the request has a key twice");
        return true;
    };
    // The library takes a zero byte for the end.
    if (text.find('\0') != std::string_view::npos)
        throw RequestError("the request is not JSON");
    try {
        return json::parse(text, check);
    } catch (const json::exception&) {
        throw RequestError("the request is not JSON");
    }
}

void only(const json& object, const std::set<std::string>& allowed) {
    for (const auto& [key, value] : object.items())
        if (!allowed.contains(key)) {
            std::string names;
            for (const auto& name : allowed)
                names += (names.empty() ? "" : ", ") + name;
            throw RequestError("the request has an unknown key; there may be " + names);
        }
}

template <class Number>
Number number(const json& object, const char* key) {
    const auto& value = object.at(key);
    // A negative number is_number_integer() too, and get() would wrap it.
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > std::numeric_limits<Number>::max())
        throw RequestError(std::string(key) + " must be a whole number from 0 to " +
                           std::to_string(std::numeric_limits<Number>::max()));
    return value.get<Number>();
}

Rotate parse_rotate(const json& object) {
    only(object, {"do", "revoke_old"});
    Rotate rotate;
    if (object.contains("revoke_old")) {
        if (!object.at("revoke_old").is_boolean())
            throw RequestError("revoke_old must be true or false");
        object.at("revoke_old").get_to(rotate.revoke_old);
    }
    return rotate;
}

Revoke::Which parse_which(const json& item) {
    constexpr auto wanted = R"(keys must be "all" or a list of {"epoch": E} and {"epoch": E, "revision": R})";
    if (!item.is_object() || !item.contains("epoch"))
        throw RequestError(wanted);
    only(item, {"epoch", "revision"});
    Revoke::Which which{number<std::uint64_t>(item, "epoch"), {}};
    if (item.contains("revision"))
        which.revision = number<std::uint32_t>(item, "revision");
    return which;
}

Revoke parse_revoke(const json& object) {
    only(object, {"do", "keys"});
    if (!object.contains("keys"))
        throw RequestError("keys is missing");
    const auto& keys = object.at("keys");
    if (keys == "all")
        return {.all = true, .keys = {}};
    if (!keys.is_array() || keys.empty())
        throw RequestError(R"(keys must be "all" or a list that is not empty)");
    Revoke revoke;
    for (const auto& item : keys)
        revoke.keys.push_back(parse_which(item));
    return revoke;
}

std::string parse_text(const json& object, const std::string& key) {
    only(object, {"do", key});
    if (!object.contains(key) || !object.at(key).is_string())
        throw RequestError(key + " must be there, and a text");
    return object.at(key).get<std::string>();
}

}  // namespace

Request parse_request(std::string_view text) {
    const auto object = parse(text);
    if (!object.is_object() || !object.contains("do") || !object.at("do").is_string())
        throw RequestError(R"(the request is not an object with "do")");
    const auto& what = object.at("do");
    if (what == "status") {
        only(object, {"do"});
        return AskStatus{};
    }
    if (what == "rotate")
        return parse_rotate(object);
    if (what == "revoke")
        return parse_revoke(object);
    if (what == "enroll")
        return EnrolMachine{parse_text(object, "request")};
    if (what == "retire")
        return RetireMachine{parse_text(object, "name")};
    throw RequestError("do must be status, rotate, revoke, enroll or retire");
}

const char* in_words(const Request& request) {
    struct Words {
        const char* operator()(const AskStatus&) const noexcept { return "say how it is"; }
        const char* operator()(const Rotate&) const noexcept { return "rotate"; }
        const char* operator()(const Revoke&) const noexcept { return "revoke keys"; }
        const char* operator()(const EnrolMachine&) const noexcept { return "enrol a machine"; }
        const char* operator()(const RetireMachine&) const noexcept { return "retire a machine"; }
    };
    return std::visit(Words{}, request);
}

}  // namespace stek::daemon
