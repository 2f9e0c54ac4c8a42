#include "pkcs11/uri.hpp"

#include "pkcs11/error.hpp"
#include "pkcs11/padded.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>
#include <memory>

#include <p11-kit/uri.h>

namespace stek::pkcs11 {
namespace {

constexpr std::string_view allowed =
    "; allowed are token, serial, manufacturer, model, slot-id, and after '?' module-path, pin-source";

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text;
}

/// The part of a URI that may be shown: some write a PIN where its source should be, so nothing after '?'.
std::string shown(const std::string& text) {
    std::string part = text.substr(0, std::min<std::size_t>(text.find('?'), 200));
    std::replace_if(
        part.begin(), part.end(), [](unsigned char c) { return std::iscntrl(c) != 0; }, '.');
    return "\"" + part + (part.size() < text.size() ? "...\"" : "\"");
}

[[noreturn]] void refuse(const std::string& text, std::string_view why) {
    throw UriError("token URI " + shown(text) + ": " + std::string(why));
}

struct FreeUri {
    void operator()(P11KitUri* uri) const noexcept { p11_kit_uri_free(uri); }
};
using UriPtr = std::unique_ptr<P11KitUri, FreeUri>;

/// p11-kit leaves the fields that a URI does not name as they were: zero.
template <std::size_t N>
std::optional<std::string> named(const unsigned char (&field)[N]) {
    if (field[0] == 0) {
        return std::nullopt;
    }
    return unpadded(field);
}

std::optional<std::string> optional_text(const char* text) {
    return text == nullptr ? std::nullopt : std::optional<std::string>(text);
}

/// p11-kit passes over a name it does not know and takes the last of two; a misspelt one would then choose
/// another token. RFC 7512, section 2.3: no attribute twice.
std::map<std::string, std::string> raw_attributes(const std::string& text) {
    static constexpr std::string_view path_names[] = {"token", "serial", "manufacturer", "model", "slot-id"};
    static constexpr std::string_view query_names[] = {"module-path", "pin-source"};
    const std::size_t query = std::min(text.find('?'), text.size());
    std::map<std::string, std::string> found;
    std::size_t begin = text.find(':') + 1;
    while (begin < text.size()) {
        const bool in_query = begin > query;
        const std::size_t end = std::min(text.find_first_of(in_query ? "&" : ";?", begin), text.size());
        const std::size_t name_end = std::min(text.find('=', begin), end);
        const std::string name = text.substr(begin, name_end - begin);
        const bool known =
            in_query ? std::ranges::count(query_names, name) : std::ranges::count(path_names, name);
        if (begin != end && !known) {
            refuse(text, "it names what does not choose a token" + std::string(allowed));
        }
        const std::string value = name_end < end ? text.substr(name_end + 1, end - name_end - 1) : "";
        if (begin != end && !found.emplace(name, value).second) {
            refuse(text, name + " is given twice");
        }
        begin = end + 1;
    }
    return found;
}

/// p11-kit lets a number that is too large wrap.
std::optional<CK_SLOT_ID> slot_id(const std::string& text, const std::map<std::string, std::string>& given) {
    const auto found = given.find("slot-id");
    if (found == given.end()) {
        return std::nullopt;
    }
    const std::string& digits = found->second;
    CK_SLOT_ID id = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id);
    if (error != std::errc() || end != digits.data() + digits.size()) {
        refuse(text, "slot-id is not a number in range");
    }
    return id;
}

}  // namespace

TokenUri TokenUri::parse(const std::string& text) {
    // Before anything that could quote the URI.
    if (lower(text).find("pin-value") != std::string::npos) {
        throw UriError(
            "token URI: pin-value is refused, a PIN does not belong in a configuration; use pin-source");
    }
    const UriPtr uri(p11_kit_uri_new());
    if (!uri) {
        throw std::bad_alloc();
    }
    const auto scope = static_cast<P11KitUriType>(P11_KIT_URI_FOR_ANY);
    if (const int rc = p11_kit_uri_parse(text.c_str(), scope, uri.get()); rc != P11_KIT_URI_OK) {
        refuse(text, p11_kit_uri_message(rc) + std::string(allowed));
    }
    if (text.find('\0') != std::string::npos) {
        refuse(text, "it holds a NUL");
    }
    const auto given = raw_attributes(text);
    if (p11_kit_uri_any_unrecognized(uri.get()) != 0) {
        refuse(text, "a value is longer than Cryptoki's field for it");
    }

    TokenUri parsed;
    parsed.text_ = text;
    parsed.module_path_ = optional_text(p11_kit_uri_get_module_path(uri.get()));
    parsed.pin_source_ = optional_text(p11_kit_uri_get_pin_source(uri.get()));
    if (parsed.pin_source_ && !PinSource::parse(*parsed.pin_source_)) {
        refuse(text, "pin-source is none of file:/PATH, /PATH, credential:NAME and prompt:");
    }
    if (parsed.module_path_ && !parsed.module_path_->starts_with('/')) {
        refuse(text, "module-path is not an absolute path");
    }
    const CK_TOKEN_INFO* token = p11_kit_uri_get_token_info(uri.get());
    parsed.label_ = named(token->label);
    parsed.serial_ = named(token->serialNumber);
    parsed.manufacturer_ = named(token->manufacturerID);
    parsed.model_ = named(token->model);
    parsed.slot_ = slot_id(text, given);
    return parsed;
}

std::map<std::string, std::string> TokenUri::choice() const {
    std::map<std::string, std::string> given;
    const auto add = [&given](const char* name, const std::optional<std::string>& value) {
        if (value) {
            given.emplace(name, *value);
        }
    };
    add("token", label_);
    add("serial", serial_);
    add("manufacturer", manufacturer_);
    add("model", model_);
    if (slot_) {
        given.emplace("slot-id", std::to_string(*slot_));
    }
    return given;
}

bool TokenUri::matches(CK_SLOT_ID slot, const CK_TOKEN_INFO& info) const {
    return (!slot_ || *slot_ == slot) && (!label_ || *label_ == unpadded(info.label)) &&
           (!serial_ || *serial_ == unpadded(info.serialNumber)) &&
           (!manufacturer_ || *manufacturer_ == unpadded(info.manufacturerID)) &&
           (!model_ || *model_ == unpadded(info.model));
}

}  // namespace stek::pkcs11
