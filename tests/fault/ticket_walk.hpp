// Many tickets in few handshakes.
#pragma once

#include "tests/fixtures/memory_tls.hpp"

#include <chrono>
#include <stdexcept>
#include <thread>

namespace stek::tests {

/// Server and clients whose provider is whichever is loaded when it is made.
class TicketWalk {
  public:
    TicketWalk() { SSL_CTX_set_num_tickets(server_.get(), sealed_each); }

    struct Result {
        unsigned sealed = 0;       ///< tickets that came to a client
        unsigned not_resumed = 0;  ///< of the tickets that were offered, one for each full handshake
        unsigned without = 0;      ///< full handshakes that gave no ticket
    };
    /// Until `tickets` have come, or some more. Throws if a handshake fails, or if none comes for too long.
    Result seal(unsigned tickets) {
        Result result;
        struct Client {
            SSL_CTX* context;
            Clock::time_point last_came;
        };
        Client clients[] = {{client13_.get(), Clock::now()}, {client12_.get(), Clock::now()}};
        while (result.sealed < tickets)
            for (auto& [client, last_came] : clients) {
                const Handshake full = checked(connect(client, server_.get(), nullptr, "a.example"));
                result.sealed += full.tickets;
                if (full.tickets == 0) {
                    ++result.without;
                    if (Clock::now() - last_came > longest_without)
                        throw std::runtime_error("no ticket any more");
                    std::this_thread::sleep_for(std::chrono::milliseconds(50));
                    continue;
                }
                last_came = Clock::now();
                const Handshake again =
                    checked(connect(client, server_.get(), full.session.get(), "a.example"));
                result.sealed += again.tickets;
                result.not_resumed += again.resumed ? 0 : 1;
            }
        return result;
    }

  private:
    using Clock = std::chrono::steady_clock;
    static constexpr unsigned sealed_each = 100;  ///< of a full handshake of TLS 1.3
    /// A token that counts as down is left alone for 5 s at most, and may be slow once more.
    static constexpr auto longest_without = std::chrono::seconds(60);
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
