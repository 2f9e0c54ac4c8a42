// libssl's question, once for each ticket to be made or opened.
#pragma once

#include <openssl/ssl.h>

namespace stek {

/// As SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 0 no ticket (full handshake), 1 go on, 2 go on and renew.
/// Never -1: that is a fatal alert, and a handshake never fails because of us. Any thread.
int ticket_callback(SSL* ssl, unsigned char* key_name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                    EVP_MAC_CTX* mac, int sealing) noexcept;

}  // namespace stek
