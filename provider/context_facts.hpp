// What a connection stands for, as far as tickets care: whose certificates it shows, which clients it asks
// for.
//
// Asked of the SSL, which has copied it from its SSL_CTX, or was given it by the program (Node, lighttpd): it
// holds what it has, while another thread may be changing the SSL_CTX. Of several certificates (RSA and
// ECDSA) all count, whichever of them a client gets: that is chosen after the ticket was opened.
#pragma once

#include "provider/libssl.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace stek {

/// Immutable, one object for all connections with the same facts (so pointers compare), never freed: a
/// process has few.
struct ContextFacts {
    std::vector<std::uint8_t>
        spki;             ///< DER SubjectPublicKeyInfo of the certificate; of several, one after the other
                          ///< in libssl's order (RSA, RSA-PSS, DSA, EC, ...); may be empty
    int verify_mode = 0;  ///< SSL_VERIFY_*
    std::array<std::uint8_t, 32>
        clients{};             ///< SHA-256 over verify mode and client CA names, see audience.hpp
    std::uint16_t number = 0;  ///< from 1
};

inline constexpr std::size_t max_context_facts = 49151;

/// The facts with this number. Lock-free.
const ContextFacts* context_facts(std::uint16_t number) noexcept;

/// As the connection is now. For the thread that the SSL belongs to. No lock, and no work where this thread
/// has met the same certificates, verify mode and CA names lately. Null if libcrypto or memory fails, or the
/// process has max_context_facts different ones already.
const ContextFacts* facts_of(const LibSsl& libssl, SSL* ssl) noexcept;

}  // namespace stek
