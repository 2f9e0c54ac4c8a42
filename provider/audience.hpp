// Whom a ticket is for: one STEK serves every process at a location, and a ticket must not cross from one
// service to another.
//
// Audience = SHA-256 over, each part framed by its length (8 bytes, big-endian):
//   "stekd audience v1"
//   `audience` of the settings; if it replaces all, nothing else follows
//   DER SubjectPublicKeyInfo of the connection's certificate, which is the SSL_CTX's default one unless the
//   server gives the SSL another (may be empty if the settings give a string)
//   SHA-256 over verify mode (8 bytes) and each client CA name (DER), framed
//   the server name the client asked for, lower case (empty: none)
//
// All as they are when the connection is served in the end. A server may switch to another SSL_CTX by the
// server name after a ticket was opened: see routes.hpp.
#pragma once

#include "provider/context_facts.hpp"
#include "provider/settings.hpp"
#include "provider/ticket.hpp"

#include <optional>
#include <string_view>

namespace stek {

/// The audience of a connection to `server_name` that is served with `facts`. Nothing if there is nothing
/// that tells this service from another (no certificate and no string), or libcrypto fails. `facts` may be
/// null if the settings' string replaces all.
std::optional<Audience> audience_of(const ContextFacts* facts, const Settings& settings,
                                    std::string_view server_name) noexcept;

/// The host name in a raw server_name extension (RFC 6066, section 3). Empty if there is none; nothing if it
/// is malformed.
std::optional<std::string_view> parse_server_name(Bytes extension) noexcept;

/// ASCII letters in lower case.
std::string lower_case(std::string_view name);

}  // namespace stek
