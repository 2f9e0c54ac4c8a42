// What the provider keeps beside each SSL_CTX and each SSL, in their ex_data.
#pragma once

#include "provider/context.hpp"
#include "provider/context_facts.hpp"
#include "provider/libssl.hpp"
#include "provider/routes.hpp"
#include "provider/ticket.hpp"

#include <atomic>

namespace stek {

/// Beside an SSL_CTX. Shared by its threads.
struct TlsContext {
    explicit TlsContext(SSL_CTX* ctx) noexcept;
    ~TlsContext();
    TlsContext(const TlsContext&) = delete;
    TlsContext& operator=(const TlsContext&) = delete;

    SSL_CTX* const ctx;
    const std::uint64_t id;  ///< never the same twice in a process
    FactsOfContext facts;
    std::atomic<std::uint64_t> may_switch_seen{
        0};                           ///< context_changes then, and the answer in its lowest bit
    std::atomic<bool> forced{false};  ///< attach = force has taken the callback back
};

/// Beside an SSL. One thread at a time, as the SSL.
struct Connection {
    SSL_CTX* first_ctx = nullptr;  ///< the one SSL_new was given; not owned, the SSL holds it
    TicketExchange exchange;
    // Of the ticket that was opened last:
    RouteKey route = 0;
    const ContextFacts* expected = nullptr;        ///< what its audience was computed from
    std::array<std::uint8_t, 32> client_random{};  ///< tells whether it was in this handshake (SSL_clear)
    // Of the first ticket that was made, or might have been, since the connection began:
    const ContextFacts* sealed_as = nullptr;
    std::array<std::uint8_t, 32> sealed_client_random{};
};

/// Null if there was no memory for it, or the object was made before we attached.
Connection* connection_of(const LibSsl& ssl, const SSL* connection) noexcept;
TlsContext* context_of(const LibSsl& ssl, const SSL_CTX* ctx) noexcept;
/// True if a connection that begins with `first` might be switched to another SSL_CTX of this process, and
/// one of the two asks for client certificates. Takes a lock: for the first contact only.
bool may_switch_client_authentication(const LibSsl& ssl, const SSL_CTX* first) noexcept;
/// The same for each ticket: takes that lock only after a context has come, gone or been found changed. One
/// that was made and has not served yet may have begun to ask since.
bool may_switch_client_authentication(const LibSsl& ssl, TlsContext& first) noexcept;
/// The provider context that attached; null before.
ProviderContext* attached_provider() noexcept;

}  // namespace stek
