// Which handshake of a connection it is that libssl is in.
#pragma once

#include "provider/connection.hpp"
#include "provider/libssl.hpp"

#include <openssl/tls1.h>

namespace stek {

inline bool is_tls13(const LibSsl& libssl, const SSL* ssl) noexcept {
    return libssl.version(ssl) == TLS1_3_VERSION;  // the numbers of DTLS are larger
}

inline ClientRandom client_random(const LibSsl& libssl, const SSL* ssl) noexcept {
    ClientRandom random{};
    libssl.client_random(ssl, random.data(), random.size());
    return random;
}

/// Whether this is not the first handshake of the connection (TLS 1.2: renegotiation).
inline bool handshakes_anew(const LibSsl& libssl, const SSL* ssl) noexcept {
    unsigned char none = 0;  // the size of our Finished before this one is what it returns
    return !is_tls13(libssl, ssl) && libssl.finished(ssl, &none, 0) > 0;
}

/// Whether a client was asked to try again, and now does (TLS 1.3: HelloRetryRequest), with the extensions of
/// this ClientHello not taken yet. To ask for the group itself would be no good: there is no session to look
/// into yet.
inline bool is_second_hello(const LibSsl& libssl, SSL* ssl) noexcept {
    constexpr long how_many = -1;
    return is_tls13(libssl, ssl) && libssl.ctrl(ssl, SSL_CTRL_GET_SHARED_GROUP, how_many, nullptr) != 0;
}

}  // namespace stek
