// What the provider keeps beside each SSL_CTX and each SSL, in their ex_data.
#pragma once

#include "provider/audience.hpp"
#include "provider/context.hpp"
#include "provider/libssl.hpp"
#include "provider/ticket.hpp"

#include <atomic>

namespace stek {

/// Beside an SSL_CTX. Shared by its threads.
struct TlsContext {
    ContextAudience audience;
    std::atomic<bool> forced{false};  ///< attach = force has taken the callback back
};

/// Beside an SSL. One thread at a time, as the SSL.
struct Connection {
    SSL_CTX* first_ctx = nullptr;  ///< the one SSL_new was given; not owned, the SSL holds it
    TicketExchange exchange;
};

/// Null if there was no memory for it, or the object was made before we attached.
Connection* connection_of(const LibSsl& ssl, const SSL* connection) noexcept;
TlsContext* context_of(const LibSsl& ssl, const SSL_CTX* ctx) noexcept;
/// The provider context that attached; null before.
ProviderContext* attached_provider() noexcept;

}  // namespace stek
