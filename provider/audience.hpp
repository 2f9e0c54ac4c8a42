// Whom a ticket is for: one STEK serves every process at a location, and a ticket must not cross from one
// service to another.
//
// Audience = SHA-256 over, each part framed by its length (8 bytes, big-endian):
//   "stekd audience v1"
//   `audience` of the settings; if it replaces all, nothing else follows
//   DER SubjectPublicKeyInfo of the SSL_CTX's default certificate (may be empty if the settings give a
//   string) SHA-256 over verify mode (8 bytes) and each client CA name (DER), framed the server name the
//   client asked for, lower case (empty: none)
#pragma once

#include "provider/libssl.hpp"
#include "provider/settings.hpp"
#include "provider/ticket.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <string_view>

namespace stek {

/// What an SSL_CTX contributes, computed when first needed and again when its certificate, verify mode or CA
/// list is another; kept in the SSL_CTX's ex_data. Thread-safe without locks: published by one atomic
/// pointer, old ones freed with the SSL_CTX.
class ContextAudience {
  public:
    ContextAudience() = default;
    ~ContextAudience();
    ContextAudience(const ContextAudience&) = delete;
    ContextAudience& operator=(const ContextAudience&) = delete;
    /// The audience of a connection to `server_name` through `ctx`. Nothing if there is nothing that tells
    /// this service from another (no certificate and no string), or libcrypto fails.
    std::optional<Audience> of(const LibSsl& ssl, const SSL_CTX* ctx, const Settings& settings,
                               std::string_view server_name) noexcept;

  private:
    struct Base;
    const Base* base(const LibSsl& ssl, const SSL_CTX* ctx);
    std::atomic<const Base*> base_{nullptr};
};

/// The host name in a raw server_name extension (RFC 6066, section 3). Empty if there is none; nothing if it
/// is malformed.
std::optional<std::string_view> parse_server_name(Bytes extension) noexcept;

}  // namespace stek
