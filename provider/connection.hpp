// What the provider keeps beside each SSL_CTX and each SSL, in their ex_data.
#pragma once

#include "provider/context.hpp"
#include "provider/context_facts.hpp"
#include "provider/libssl.hpp"
#include "provider/routes.hpp"
#include "provider/ticket.hpp"

#include <array>
#include <atomic>
#include <optional>

namespace stek {

/// Beside an SSL_CTX. Shared by its threads.
struct TlsContext {
    TlsContext(const LibSsl& ssl, SSL_CTX* ctx) noexcept;
    ~TlsContext();
    TlsContext(const TlsContext&) = delete;
    TlsContext& operator=(const TlsContext&) = delete;

    SSL_CTX* const ctx;
    const std::uint64_t id;           ///< never the same twice in a process
    const bool may_serve;             ///< not made for clients only
    std::atomic<bool> forced{false};  ///< attach = force has taken the callback back
};

/// Of a ClientHello. The client may choose any, zeros too: what is not there must not compare equal to it.
using ClientRandom = std::array<std::uint8_t, 32>;

/// Beside an SSL. One thread at a time, as the SSL.
struct Connection {
    SSL_CTX* first_ctx = nullptr;  ///< the one SSL_new was given; not owned, the SSL holds it
    TicketExchange exchange;
    // Of the ticket that was offered last, and had a key of the ring:
    RouteKey route = 0;
    Forecast expected{};                      ///< what its audience was computed from
    const ContextFacts* opened_as = nullptr;  ///< what the connection was at that moment
    const SSL_CTX* opened_ctx = nullptr;      ///< and where it was
    std::optional<ClientRandom> offered_in;   ///< tells whether it was in this handshake (SSL_clear)
    // Of the first ticket that was made, or might have been, since the connection began:
    const ContextFacts* sealed_as = nullptr;
    std::optional<ClientRandom> sealed_in;  ///< the same for TLS 1.3, where no other handshake follows
};

/// Null if there was no memory for it, or the object was made before we attached.
Connection* connection_of(const LibSsl& ssl, const SSL* connection) noexcept;
TlsContext* context_of(const LibSsl& ssl, const SSL_CTX* ctx) noexcept;
/// True if a connection that begins with `first`, and by itself asks for client certificates or not, might be
/// switched to another SSL_CTX of this process where that is otherwise, or other clients are wanted. Takes a
/// lock: for the first contact, and after a change of contexts.
bool may_switch_client_authentication(const LibSsl& ssl, const SSL_CTX* first, bool asks) noexcept;
/// The provider context that attached; null before.
ProviderContext* attached_provider() noexcept;

}  // namespace stek
