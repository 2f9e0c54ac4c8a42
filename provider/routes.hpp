// Which SSL_CTX serves a name in the end.
//
// libssl opens a ticket before the server's servername callback may switch to another SSL_CTX (nginx,
// Python); what that one demands of clients must hold for the ticket all the same (CVE-2025-23419). Nobody
// can ask a server where it will switch to. So each handshake that reaches its end is remembered: (SSL_CTX
// that SSL_new was given, local address, server name) -> facts of the SSL_CTX in the end. When a ticket is
// opened, that is the forecast; the audience is computed from it, and when the next ticket is sealed it is
// held against what came true. Where nothing is remembered yet and a wrong guess could let somebody in, the
// ticket is declined.
#pragma once

#include "provider/context_facts.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace stek {

/// A keyed hash of where a connection begins; 0 is none.
using RouteKey = std::uint64_t;

/// `ctx_id` tells one SSL_CTX of the process from all others, also from one that had its address before.
/// `fd` is the connection's socket, or -1: servers choose by its local address too. 0 if libcrypto fails.
RouteKey route_key(std::uint64_t ctx_id, int fd, std::string_view server_name) noexcept;

/// In which way a connection came to what it was in the end.
enum class Way : std::uint8_t {
    stayed,  ///< in the SSL_CTX where it began; that has changed since if it does not look so now
    given,   ///< it stayed, and the program gave things to the SSL later, in its certificate callback (Node,
             ///< lighttpd): which libssl does not call for a resumed one
    switched,         ///< to another SSL_CTX, it is not known when
    switched_before,  ///< before a ticket is looked at: in the client hello callback (HAProxy, Apache)
    switched_after,   ///< after that: in the servername callback (nginx, Python), as far as is known
    switched_unless_resumed,  ///< in the certificate callback: a resumed one was seen to stay
    switched_when_resumed,    ///< in the servername callback: a resumed one was seen to be switched
};

struct Forecast {
    const ContextFacts* facts = nullptr;  ///< where the last one ended; null if none is remembered
    Way way = Way::stayed;
    /// A context has been made or freed since: the program may be about to send the name elsewhere.
    bool doubtful = false;
};

/// Remembers where a connection ended. Lock-free, in fixed memory, which has room for 262,144 routes: one
/// that is displaced by another costs a full handshake.
void learn_route(RouteKey key, const ContextFacts& end, Way way) noexcept;
Forecast forecast(RouteKey key) noexcept;
/// What was learned until now is doubtful: see Forecast.
void doubt_routes() noexcept;
/// For some seconds after that: a context is made, then set up, then used.
bool doubts_are_fresh() noexcept;

}  // namespace stek
