// A TLS program that knows nothing of the provider: seals so many tickets, then ends as a program does. For
// valgrind to look at.
//
//     OPENSSL_CONF=... ticket_walk TICKETS
#include "tests/fault/ticket_walk.hpp"

#include <cstdio>
#include <cstdlib>

int main(int, char** arguments) {
    try {
        const auto tickets = static_cast<unsigned>(std::strtoul(arguments[1], nullptr, 10));
        // Under valgrind a call to the token may take so long that it counts as down for a while: that goes
        // on until all tickets have come.
        const auto result = stek::tests::TicketWalk().seal(tickets);
        std::printf("%u tickets, %u not resumed, %u handshakes without one\n", result.sealed,
                    result.not_resumed, result.without);
        return result.not_resumed < tickets / 200 ? 0 : 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
