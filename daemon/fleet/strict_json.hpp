// JSON that this program wrote itself: whatever it would not have written is an error. All throw
// std::runtime_error.
#pragma once

#include "pkcs11/secret.hpp"

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace stek::fleet::strict {

/// Also refuses a name that an object has twice, of which nlohmann::json would take the last.
inline nlohmann::json parse(Bytes file) {
    using nlohmann::json;
    std::vector<std::set<std::string>> names;
    const auto watch = [&names](int, json::parse_event_t event, json& parsed) {
        if (event == json::parse_event_t::object_start)
            names.emplace_back();
        else if (event == json::parse_event_t::object_end)
            names.pop_back();
        else if (event == json::parse_event_t::key && !names.back().insert(parsed.get<std::string>()).second)
            throw std::runtime_error("\"" + parsed.get<std::string>() + "\" twice");
        return true;
    };
    return json::parse(file.begin(), file.end(), watch);
}

/// An object with all of the needed members and no others but the optional ones. Borrows the JSON.
class Object {
  public:
    Object(const nlohmann::json& in, std::initializer_list<const char*> needed,
           std::initializer_list<const char*> optional = {})
        : in_(&in) {
        if (!in.is_object())
            throw std::runtime_error("something else where an object should be");
        for (const auto* name : needed)
            if (!in.contains(name))
                throw std::runtime_error(std::string("no \"") + name + "\"");
        const auto is_one_of = [](auto names, const std::string& which) {
            return std::ranges::find(names, which) != names.end();
        };
        for (const auto& item : in.items())
            if (!is_one_of(needed, item.key()) && !is_one_of(optional, item.key()))
                throw std::runtime_error("unknown \"" + item.key() + "\"");
    }

    [[nodiscard]] bool has(const char* name) const { return in_->contains(name); }

    template <std::integral Number>
    [[nodiscard]] Number number(const char* name) const {
        const auto& value = in_->at(name);
        if (value.is_number_unsigned()) {
            if (const auto whole = value.get<std::uint64_t>(); std::in_range<Number>(whole))
                return static_cast<Number>(whole);
        } else if (value.is_number_integer()) {
            if (const auto whole = value.get<std::int64_t>(); std::in_range<Number>(whole))
                return static_cast<Number>(whole);
        }
        throw std::runtime_error(std::string("\"") + name + "\" is not a number of its range");
    }
    [[nodiscard]] bool flag(const char* name) const {
        if (!in_->at(name).is_boolean())
            throw std::runtime_error(std::string("\"") + name + "\" is neither true nor false");
        return in_->at(name).get<bool>();
    }
    [[nodiscard]] const std::string& text(const char* name) const {
        if (!in_->at(name).is_string())
            throw std::runtime_error(std::string("\"") + name + "\" is not a text");
        return in_->at(name).get_ref<const std::string&>();
    }
    [[nodiscard]] const nlohmann::json& list(const char* name) const {
        if (!in_->at(name).is_array())
            throw std::runtime_error(std::string("\"") + name + "\" is not a list");
        return in_->at(name);
    }
    /// Hexadecimal, lower case.
    [[nodiscard]] std::vector<std::uint8_t> bytes(const char* name) const {
        const auto& digits = text(name);
        std::vector<std::uint8_t> out(digits.size() / 2);
        for (std::size_t i = 0; i < digits.size(); ++i) {
            const auto value = std::string_view("0123456789abcdef").find(digits[i]);
            if (digits.size() % 2 != 0 || value == std::string_view::npos)
                throw std::runtime_error(std::string("\"") + name + "\" is not hexadecimal");
            out[i / 2] = static_cast<std::uint8_t>(out[i / 2] << 4 | value);
        }
        return out;
    }
    template <std::size_t Size>
    [[nodiscard]] std::array<std::uint8_t, Size> bytes(const char* name) const {
        const auto all = bytes(name);
        std::array<std::uint8_t, Size> out{};
        if (all.size() != Size)
            throw std::runtime_error(std::string("\"") + name + "\" is not " + std::to_string(Size) +
                                     " bytes");
        std::ranges::copy(all, out.begin());
        return out;
    }

  private:
    const nlohmann::json* in_;
};

}  // namespace stek::fleet::strict
