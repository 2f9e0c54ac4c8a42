// One ticket sealed or opened as libssl does it, without the handshake around it: the provider's callback on
// a context for cipher and MAC, then those two over the session's bytes.
//
// libssl does not tell what callback a context has. So a program with this in it exports a
// SSL_CTX_set_tlsext_ticket_key_evp_cb() of its own, which the provider finds before libssl's.
#pragma once

#include "pkcs11/secret.hpp"
#include "tests/fixtures/memory_tls.hpp"
#include "tests/fixtures/socket.hpp"

#include <string>
#include <vector>

#include <openssl/evp.h>
#include <openssl/ssl.h>

namespace stek::tests {

class LibsslTickets {
  public:
    /// Loads the provider into this process from a configuration file, and has a server of TLS 1.3 whose
    /// handshake is over. Throws if the provider does not attach.
    explicit LibsslTickets(const std::string& openssl_conf);

    /// A session of 200 bytes in a ticket. Throws if there was none.
    std::vector<std::uint8_t> seal();
    /// False if it was declined, for whatever reason.
    bool open(Bytes ticket);

  private:
    Identity identity_;
    Ctx ctx_;
    test::Socket socket_;
    std::unique_ptr<SSL, SslFree> server_;
    std::vector<std::uint8_t> session_;
};

}  // namespace stek::tests
