// What must hold with every server, as test cases that a file adds for its own kind of server.
#pragma once

#include "tests/tls/scene.hpp"

#include <functional>
#include <memory>
#include <string>

namespace stek::test {

struct Kind {
    std::string name;
    std::function<std::unique_ptr<Server>(const ServerSetup&)> make;
    unsigned workers = 1;  ///< processes or threads that connections spread over, as Server::worker() tells
    Scene::Settings settings{};  ///< of the provider, as `attach = force`
    /// What the other certificate's server needs besides, where the provider cannot see a certificate.
    Scene::Settings other_certificate_settings{};
    bool bound_to_names = true;  ///< false where an `only:` text stands for the server name too
};

/// Adds the cases to the program's test tree when it is constructed, which must be before main().
struct CommonCases {
    explicit CommonCases(const Kind& kind);
};

/// An offered session is not resumed, and the handshake goes well. `why` names the case.
void check_declined(const ClientTerms& terms, const Connection& last, const std::string& why);

/// A listener without client certificates and one with, same certificate and name: neither takes the other's
/// tickets.
void check_listeners_apart(std::uint16_t open, std::uint16_t strict, int version);

}  // namespace stek::test
