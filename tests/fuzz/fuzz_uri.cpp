// Feeds TokenUri: the text up to the first newline is a URI, what follows fills a CK_TOKEN_INFO. Only
// UriError may be thrown, and it shows no number that stands after '?', where some write a PIN. A URI keeps
// its text, and the one that p11-kit makes of a token's info chooses that token.
#include "pkcs11/error.hpp"
#include "pkcs11/padded.hpp"
#include "pkcs11/uri.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <memory>
#include <optional>

#include <p11-kit/uri.h>

namespace {

using namespace stek::pkcs11;
using stek::fuzz::require;

/// The error's own words: without the quoted start of the URI.
std::string words(std::string text) {
    const auto first = text.find('"');
    const auto last = text.rfind('"');
    return first < last ? text.erase(first, last - first) : text;
}

/// Whether a run of four digits of the query is in it; the words of errors have no such thing.
bool shows_a_pin(const std::string& said, const std::string& query) {
    constexpr std::size_t least_pin = 4;
    for (std::size_t i = 0; i + least_pin <= query.size(); ++i) {
        const auto run = query.substr(i, least_pin);
        if (std::ranges::all_of(run, [](unsigned char c) { return std::isdigit(c) != 0; }) &&
            said.find(run) != std::string::npos)
            return true;
    }
    return false;
}

std::optional<TokenUri> parse(const std::string& text) {
    try {
        return TokenUri::parse(text);
    } catch (const UriError& error) {
        const std::string what = error.what();
        require(std::ranges::none_of(what, [](unsigned char c) { return std::iscntrl(c) != 0; }),
                "an error is one line of text");
        require(!shows_a_pin(words(what), text.substr(std::min(text.find('?'), text.size()))),
                "an error shows no number of the query");
        return std::nullopt;
    }
}

/// As p11-kit writes it.
std::string uri_of(const CK_TOKEN_INFO& info) {
    const std::unique_ptr<P11KitUri, decltype(&p11_kit_uri_free)> uri(p11_kit_uri_new(), p11_kit_uri_free);
    *p11_kit_uri_get_token_info(uri.get()) = info;
    char* text = nullptr;
    require(p11_kit_uri_format(uri.get(), P11_KIT_URI_FOR_TOKEN, &text) == P11_KIT_URI_OK, "p11-kit formats");
    std::string copy(text);
    std::free(text);
    return copy;
}

bool plain(const unsigned char* field, std::size_t size) {
    return std::none_of(field, field + size, [](unsigned char c) { return c == 0; });
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(stek::fuzz::text_of(data, size));
    const auto line = std::min(text.find('\n'), text.size());
    CK_TOKEN_INFO info{};
    for (auto [field, length] :
         {std::pair(info.label, sizeof info.label),
          std::pair(info.manufacturerID, sizeof info.manufacturerID),
          std::pair(info.model, sizeof info.model), std::pair(info.serialNumber, sizeof info.serialNumber)})
        std::memset(field, ' ', length);
    const std::string rest = text.substr(std::min(line + 1, text.size()));
    std::memcpy(info.label, rest.data(), std::min(rest.size(), sizeof info.label));
    if (rest.size() > sizeof info.label)
        std::memcpy(info.serialNumber, rest.data() + sizeof info.label,
                    std::min(rest.size() - sizeof info.label, sizeof info.serialNumber));

    if (const auto uri = parse(text.substr(0, line))) {
        require(uri->text() == text.substr(0, line), "a URI keeps its text");
        require(!uri->module_path() || uri->module_path()->starts_with('/'), "a module's path is absolute");
        require(!uri->pin_source() || PinSource::parse(*uri->pin_source()), "a PIN's source is one");
        if (uri->matches(0, info) && uri->token_label())
            require(*uri->token_label() == unpadded(info.label), "a token that is chosen has the label");
    }
    require(TokenUri::parse("pkcs11:").matches(1, info), "an empty URI chooses every token");
    if (plain(info.label, sizeof info.label) && plain(info.serialNumber, sizeof info.serialNumber)) {
        const std::string made = uri_of(info);
        const auto uri = parse(made);
        // A label may have the refused word in it.
        require(uri.has_value() || made.find("-") != std::string::npos, "p11-kit's URI is understood");
        require(!uri || uri->matches(1, info), "p11-kit's URI of a token chooses that token");
    }
    return 0;
}
