// RFC 7512 URIs for tokens, by p11-kit's parser, and where their PINs come from.
#pragma once

#include "pkcs11/cryptoki.hpp"
#include "pkcs11/secret.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace stek::pkcs11 {

/// A parsed "pkcs11:" URI. `token`, `serial`, `manufacturer`, `model`, `slot-id` choose the token;
/// `module-path` the module; `pin-source` the PIN. `pin-value` is refused: a PIN does not belong in a
/// configuration file.
class TokenUri {
  public:
    /// Throws UriError that quotes the URI (which holds no secret, pin-value being refused without quoting
    /// its value).
    static TokenUri parse(const std::string& text);

    [[nodiscard]] const std::string& text() const noexcept { return text_; }
    [[nodiscard]] const std::optional<std::string>& module_path() const noexcept { return module_path_; }
    [[nodiscard]] const std::optional<std::string>& pin_source() const noexcept { return pin_source_; }
    [[nodiscard]] const std::optional<std::string>& token_label() const noexcept { return label_; }
    /// What chooses the token, as far as it is given: RFC 7512's names of the attributes, and their values.
    [[nodiscard]] std::map<std::string, std::string> choice() const;
    /// True if the slot and its token are the ones meant; an empty URI ("pkcs11:") matches all.
    [[nodiscard]] bool matches(CK_SLOT_ID slot, const CK_TOKEN_INFO& info) const;

  private:
    std::string text_;
    std::optional<std::string> module_path_, pin_source_, label_, serial_, manufacturer_, model_;
    std::optional<CK_SLOT_ID> slot_;
};

/// Where a PIN comes from.
struct PinSource {
    enum class Kind : std::uint8_t {
        file,        ///< `file:/path` or `/path`; RFC 8089's `file:///path` too
        credential,  ///< `credential:NAME`, a file of that name in $CREDENTIALS_DIRECTORY, systemd.exec(5)
        prompt,      ///< `prompt:`, a person at /dev/tty
    };
    Kind kind;
    std::string name;  ///< the file's path, the credential's name, or nothing

    /// Nothing if the text has none of these forms. It may then be a PIN put in the wrong place: it must not
    /// be quoted.
    static std::optional<PinSource> parse(std::string_view text);
};

/// Reads a PIN from what PinSource::parse() knows. Of a file: its first line, at most 255 bytes; refused if
/// others can read it (mode & 0007 must be 0). A person is asked with the echo off. No source: no PIN, for a
/// token that wants none. Throws UriError naming the source and what is wrong, never the PIN.
Secret read_pin(const std::string& source);

}  // namespace stek::pkcs11
