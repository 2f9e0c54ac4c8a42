#include "pkcs11/uri.hpp"

#include "pkcs11/error.hpp"
#include "pkcs11/padded.hpp"

#include <algorithm>
#include <cctype>
#include <memory>
#include <set>

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

/// RFC 7512, section 2.3: no attribute twice. p11-kit would take the last one.
void refuse_duplicates(const std::string& text) {
    const std::size_t query = text.find('?');
    std::set<std::string> seen;
    std::size_t begin = text.find(':') + 1;
    while (begin < text.size()) {
        const std::size_t end = std::min(text.find_first_of(begin > query ? "&" : ";?", begin), text.size());
        const std::size_t name_end = std::min(text.find('=', begin), end);
        const std::string name = text.substr(begin, name_end - begin);
        if (!name.empty() && !seen.insert(name).second) {
            refuse(text, name + " is given twice");
        }
        begin = end + 1;
    }
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
    refuse_duplicates(text);
    CK_ULONG attributes = 0;
    p11_kit_uri_get_attributes(uri.get(), &attributes);
    const CK_INFO* module = p11_kit_uri_get_module_info(uri.get());
    const CK_SLOT_INFO* slot = p11_kit_uri_get_slot_info(uri.get());
    if (p11_kit_uri_any_unrecognized(uri.get()) != 0 || attributes != 0 ||
        p11_kit_uri_get_module_name(uri.get()) != nullptr || module->libraryDescription[0] != 0 ||
        module->manufacturerID[0] != 0 || module->libraryVersion.major != 0xFF ||
        slot->slotDescription[0] != 0 || slot->manufacturerID[0] != 0) {
        refuse(text, "it names what does not choose a token" + std::string(allowed));
    }

    TokenUri parsed;
    parsed.text_ = text;
    parsed.module_path_ = optional_text(p11_kit_uri_get_module_path(uri.get()));
    parsed.pin_source_ = optional_text(p11_kit_uri_get_pin_source(uri.get()));
    if (parsed.pin_source_ && !is_pin_source(*parsed.pin_source_)) {
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
    if (const CK_SLOT_ID id = p11_kit_uri_get_slot_id(uri.get()); id != static_cast<CK_SLOT_ID>(-1)) {
        parsed.slot_ = id;
    }
    return parsed;
}

bool TokenUri::matches(CK_SLOT_ID slot, const CK_TOKEN_INFO& info) const {
    return (!slot_ || *slot_ == slot) && (!label_ || *label_ == unpadded(info.label)) &&
           (!serial_ || *serial_ == unpadded(info.serialNumber)) &&
           (!manufacturer_ || *manufacturer_ == unpadded(info.manufacturerID)) &&
           (!model_ || *model_ == unpadded(info.model));
}

}  // namespace stek::pkcs11
