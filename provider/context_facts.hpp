// What a connection stands for, as far as tickets care: whose certificate it shows, which clients it asks
// for. Most servers say so in the SSL_CTX; some in each SSL (Node its verify mode, lighttpd its certificate
// too).
//
// Of an SSL_CTX with several certificates (RSA and ECDSA) it is the default one, which was set last,
// whichever of them a client gets: that is chosen for each connection anew, and before a ticket is opened
// nobody knows it.
#pragma once

#include "provider/libssl.hpp"
#include "provider/ticket.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

namespace stek {

/// Immutable, one object for all connections with the same facts (so pointers compare), never freed: a
/// process has few.
struct ContextFacts {
    std::vector<std::uint8_t> spki;  ///< DER SubjectPublicKeyInfo of the default certificate; may be empty
    int verify_mode = 0;             ///< SSL_VERIFY_*
    std::array<std::uint8_t, 32>
        clients{};             ///< SHA-256 over verify mode and client CA names, see audience.hpp
    std::uint16_t number = 0;  ///< from 1
};

inline constexpr std::size_t max_context_facts = 65535;

/// Counts the contexts that come, go, or are found to be others than they were: what was concluded from all
/// of them holds as long as it stays.
inline std::atomic<std::uint64_t> context_changes{1};

/// The facts with this number. Lock-free.
const ContextFacts* context_facts(std::uint16_t number) noexcept;

/// One SSL_CTX's facts, gathered when first asked for and again when its certificate, verify mode or CA list
/// is another; kept in the SSL_CTX's ex_data. Thread-safe without locks in the steady state: published by
/// one atomic pointer. Of old ones 64 bytes stay, for a thread may be reading them, until the SSL_CTX is
/// freed.
class FactsOfContext {
  public:
    FactsOfContext() = default;
    ~FactsOfContext();
    FactsOfContext(const FactsOfContext&) = delete;
    FactsOfContext& operator=(const FactsOfContext&) = delete;
    /// Null if libcrypto fails, or the process has max_context_facts different ones already.
    const ContextFacts* of(const LibSsl& ssl, const SSL_CTX* ctx) noexcept;
    /// Those of a connection whose SSL_CTX it is now: the context's, unless the SSL has a verify mode or CA
    /// list of its own, or a certificate and the context has none; these are gathered each time.
    const ContextFacts* of(const LibSsl& ssl, const SSL_CTX* ctx, SSL* connection) noexcept;

  private:
    struct Seen;
    const Seen* look(const LibSsl& ssl, const SSL_CTX* ctx);
    std::atomic<const Seen*> seen_{nullptr};
};

/// True if the SSL itself, not its SSL_CTX, says which clients it asks for: no servername callback will
/// change that.
bool asks_by_itself(const LibSsl& ssl, const SSL_CTX* ctx, SSL* connection) noexcept;

}  // namespace stek
