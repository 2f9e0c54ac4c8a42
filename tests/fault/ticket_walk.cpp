// A TLS program that knows nothing of the provider: seals so many tickets, then ends as a program does. For
// valgrind to look at.
//
//     OPENSSL_CONF=... ticket_walk TICKETS
#include "tests/fault/ticket_walk.hpp"

#include <cstdio>
#include <cstdlib>

int main(int, char** arguments) {
    try {
        stek::tests::TicketWalk().seal(static_cast<unsigned>(std::strtoul(arguments[1], nullptr, 10)));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
