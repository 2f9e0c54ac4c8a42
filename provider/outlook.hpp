// Where a connection will end, as it looks when its ticket is opened; and whether that came true.
#pragma once

#include "provider/connection.hpp"
#include "provider/libssl.hpp"

#include <string_view>

namespace stek {

/// For a connection by this name whose ticket is about to be opened. For the thread that the SSL belongs to.
Outlook look_ahead(const LibSsl& libssl, SSL* ssl, const Connection& connection,
                   std::string_view server_name) noexcept;

/// Whether a connection that was resumed as `outlook` said has ended there. `end`: what it is now.
bool has_come_true(const LibSsl& libssl, SSL* ssl, const Outlook& outlook, const ContextFacts* end) noexcept;

/// Remembers where a connection has ended that was resumed by a ticket. `came_true`: as has_come_true() says.
void learn_from_resumed(const LibSsl& libssl, SSL* ssl, const Connection& connection, const ContextFacts& end,
                        bool came_true) noexcept;
/// The same when a connection is freed, for one that was resumed and made no ticket after that (TLS 1.2).
void learn_at_the_end(const LibSsl& libssl, SSL* ssl, const Connection& connection) noexcept;
/// The same for one that was not resumed by a ticket. `ticket_offered`: the connection's outlook is of this
/// handshake.
void learn_from_full(const LibSsl& libssl, SSL* ssl, const Connection& connection, const ContextFacts& end,
                     std::string_view server_name, bool ticket_offered) noexcept;

}  // namespace stek
