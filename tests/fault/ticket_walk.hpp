// Many tickets in few handshakes.
#pragma once

#include "tests/fixtures/memory_tls.hpp"

#include <stdexcept>

namespace stek::tests {

/// Server and clients whose provider is whichever is loaded when it is made.
class TicketWalk {
  public:
    TicketWalk() { SSL_CTX_set_num_tickets(server_.get(), sealed_each); }

    /// Seals `tickets` or some more, and offers two of a hundred. Throws if a handshake fails. Returns how
    /// many were not resumed.
    unsigned seal(unsigned tickets) {
        unsigned not_resumed = 0;
        // A resumed connection of TLS 1.3 and a full one of TLS 1.2 have one; a resumed one of TLS 1.2, none.
        for (unsigned sealed = 0; sealed < tickets; sealed += sealed_each + 2)
            for (SSL_CTX* client : {client13_.get(), client12_.get()}) {
                const Handshake full = checked(connect(client, server_.get(), nullptr, "a.example"));
                const Handshake again =
                    checked(connect(client, server_.get(), full.session.get(), "a.example"));
                not_resumed += again.resumed ? 0 : 1;
            }
        return not_resumed;
    }

  private:
    static constexpr unsigned sealed_each = 100;  ///< of a full handshake of TLS 1.3
    static Handshake checked(Handshake handshake) {
        if (!handshake.done)
            throw std::runtime_error("no handshake: " + handshake.error);
        return handshake;
    }
    Identity identity_{"a.example"};
    Ctx server_ = server_ctx(identity_);
    Ctx client12_ = client_ctx(TLS1_2_VERSION), client13_ = client_ctx(TLS1_3_VERSION);
};

}  // namespace stek::tests
