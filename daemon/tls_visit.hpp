// A TLS client that visits a server to see its tickets. It verifies no certificate and sends nothing but a
// handshake. Every wait is bounded.
#pragma once

#include "daemon/doctor.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <openssl/ssl.h>

namespace stek::daemon {

struct FreeTls {
    void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
    void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
    void operator()(SSL_SESSION* session) const noexcept { SSL_SESSION_free(session); }
};
using SessionPtr = std::unique_ptr<SSL_SESSION, FreeTls>;

enum class VisitEnd {
    unreachable,   ///< no connection
    silent,        ///< connected, and no answer to the handshake in time
    no_handshake,  ///< it was refused, or what came was no TLS
    done,
};

struct Visit {
    VisitEnd end = VisitEnd::unreachable;
    std::string
        error;  ///< why; after a handshake that was done: what came behind it, as a refused certificate
    bool reused = false;
    SessionPtr session;  ///< the last one with a ticket; null if no ticket came
};

std::vector<std::uint8_t> ticket_of(const SSL_SESSION& session);

class TlsVisitor {
  public:
    /// `version` is TLS1_2_VERSION or TLS1_3_VERSION, and no other is spoken. `server_name` goes into the SNI
    /// extension unless it is an address. Throws std::runtime_error if OpenSSL gives no context.
    TlsVisitor(Endpoint endpoint, std::string server_name, int version);
    /// Takes 5 s for the connection, 5 s for the handshake and, with TLS 1.3, 1 s for its tickets at most;
    /// name resolution comes on top. `offered` may be null. Never throws for what the server does.
    Visit visit(SSL_SESSION* offered);

  private:
    Endpoint endpoint_;
    std::string server_name_;
    std::unique_ptr<SSL_CTX, FreeTls> context_;
};

}  // namespace stek::daemon
