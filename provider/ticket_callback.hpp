// libssl's question, once for each ticket to be made or opened.
#pragma once

#include <openssl/ssl.h>

namespace stek {

/// As SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 0 no ticket (full handshake), 1 go on, 2 go on and renew. -1,
/// a fatal alert, in one case only: sealing, where the server has taken a resumed client to a context that
/// asks for other client certificates than the one that the ticket was opened for, and libssl would take the
/// client for authenticated. Any thread.
int ticket_callback(SSL* ssl, unsigned char* key_name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                    EVP_MAC_CTX* mac, int sealing) noexcept;

}  // namespace stek
