// What goes between parties and NATS servers, counted where it passes.
#pragma once

#include "tests/fixtures/nats_servers.hpp"

#include <cstdint>
#include <map>
#include <string>

namespace stek::tests {

/// Of one connection or of several: since it was made, or between two moments.
struct Traffic {
    double messages_up = 0, messages_down = 0;  ///< from the party, and to it
    double bytes_up = 0, bytes_down = 0;        ///< in its TCP connection: TLS, subjects and headers too

    Traffic& operator+=(const Traffic& other) noexcept;
    Traffic operator-(const Traffic& other) const noexcept;
    Traffic operator/(double share) const noexcept;
};

/// By the name that a connection gives itself, which is its party's user. Messages are those that the servers
/// have counted; bytes are the kernel's, of the sockets of this process.
using TrafficByUser = std::map<std::string, Traffic>;
TrafficByUser traffic_of(const NatsServers& servers);

/// What all servers together have used since they were started, and what they hold.
struct ServersUse {
    double cpu_s = 0;
    double resident = 0;          ///< bytes, of the largest
    double stored = 0;            ///< bytes, in each copy, as JetStream counts them
    double between_messages = 0;  ///< sent to each other
    double between_bytes = 0;     ///< of those; without TLS and subjects
};
ServersUse use_of(NatsServers& servers);

}  // namespace stek::tests
