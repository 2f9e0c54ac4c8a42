// How a provider comes to every TLS connection of a program that knows nothing of it: through libcrypto's
// ex_data.
#pragma once

#include "provider/context.hpp"

namespace stek {

/// Registers ex_data indexes for SSL_CTX and SSL, whose *new* functions see each one made afterwards and set
/// the ticket callback. Once in a process: a second provider context does not attach. `context` must live as
/// long as the process. Returns false, and says so in the journal, if OpenSSL is too old (below 3.0.6 a
/// declined ticket is a malformed message in TLS 1.3) or the index cannot be had.
bool attach_to_tls(ProviderContext& context) noexcept;

}  // namespace stek
