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

    /// There is an SSL_CTX that has no such object: no memory for it, or it was made before we attached.
    static void one_is_not_known() noexcept;

    SSL_CTX* const ctx;
    const std::uint64_t id;           ///< never the same twice in a process
    const bool may_serve;             ///< not made for clients only
    std::atomic<bool> forced{false};  ///< attach = force has taken the callback back
};

/// Of a ClientHello. The client may choose any: zeros, so that what is not there must not compare equal to
/// it; and one that it has used before, which an SSL that is used again (SSL_clear) can only tell from the
/// handshake before if that has made its ticket.
using ClientRandom = std::array<std::uint8_t, 32>;

/// What was made out when a ticket was offered that had a key of the ring.
struct Outlook {
    RouteKey route = 0;
    Forecast end{};  ///< where the connection will end: what the ticket's audience is computed from
    const ContextFacts* began_as = nullptr;  ///< what it was at that moment
    const SSL_CTX* began_in = nullptr;       ///< and in which SSL_CTX
    bool unknown = false;  ///< it may end where clients must show who they are, or come from there
    bool must_be_seen =
        false;  ///< it may be going elsewhere by now: held against what came true, it is known
};

/// Beside an SSL. One thread at a time, as the SSL.
struct Connection {
    SSL_CTX* first_ctx = nullptr;  ///< the one SSL_new was given; not owned, the SSL holds it
    std::int64_t made_at = 0;      ///< Unix seconds
    bool used = false;  ///< it has had a ticket looked at, or made one: in another connection (SSL_clear)
    TicketExchange exchange;
    Outlook outlook;
    std::optional<ClientRandom> offered_in;  ///< tells whether that was in this handshake (SSL_clear)
    // Of the first ticket that was made, or might have been, since the connection began:
    const ContextFacts* sealed_as = nullptr;
    std::int64_t lineage = 0;
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
