// Clients that load a server over loopback, each connection with one small request.
#pragma once

#include "tests/fixtures/pki.hpp"

#include <chrono>
#include <cstdint>
#include <stdexcept>

namespace stek::tests {

struct Load {
    unsigned connections;
    unsigned first;  ///< of these, connections of clients that had no ticket yet
    unsigned resumed;
};

/// wrk with `Connection: close`: two connections at a time, each but the first two resumed by the ticket of
/// the one before. For whole seconds. Throws if the client saw an error.
Load resuming_clients(std::uint16_t port, std::chrono::seconds time);

/// Two clients that offer no session, of this TLS version, one connection after the other. Throws if one
/// fails.
Load forgetful_clients(const test::Pki& pki, std::uint16_t port, int version, std::chrono::milliseconds time);

}  // namespace stek::tests
