// The libssl of the server that loaded us, found at run time: the module itself needs libcrypto only.
#pragma once

#include <ctime>

#include <openssl/ssl.h>

namespace stek {

/// The functions of libssl that attaching needs. All are there, or load() gave null.
struct LibSsl {
    decltype(&::SSL_CTX_set_tlsext_ticket_key_evp_cb) set_ticket_callback;
    decltype(&::SSL_CTX_get_verify_mode) ctx_verify_mode;
    decltype(&::SSL_CTX_get_ssl_method) ctx_method;
    decltype(&::TLS_client_method) client_method;
    decltype(&::DTLS_client_method) dtls_client_method;
    decltype(&::SSL_get_certificate) certificate;
    decltype(&::SSL_get_verify_mode) verify_mode;
    decltype(&::SSL_get_client_CA_list) client_ca_list;
    decltype(&::SSL_CTX_get_ex_data) ctx_get_ex_data;
    decltype(&::SSL_get_ex_data) get_ex_data;
    decltype(&::SSL_get_SSL_CTX) get_ctx;
    decltype(&::SSL_get_servername) servername;
    decltype(&::SSL_client_hello_get0_ext) client_hello_extension;
    decltype(&::SSL_version) version;
    decltype(&::SSL_session_reused) session_reused;
    decltype(&::SSL_get_session) session;
    /// SSL_SESSION_get_time_ex of OpenSSL 3.3; before it SSL_SESSION_get_time, which 3.4 deprecates.
    std::time_t (*session_time)(const SSL_SESSION* session);
    decltype(&::SSL_SESSION_get0_peer) session_peer;
    decltype(&::SSL_get_rfd) rfd;
    decltype(&::SSL_get_client_random) client_random;
    decltype(&::SSL_set_max_early_data) set_max_early_data;
    decltype(&::SSL_get_finished) finished;
    decltype(&::SSL_get_num_tickets) num_tickets;
    decltype(&::SSL_ctrl) ctrl;

    /// All of one object: that of the libcrypto we are linked to, else libssl.so.3 if it is loaded, else what
    /// the global scope has. Null if there is none yet or a function is missing. Cheap once it has succeeded.
    /// Thread-safe.
    static const LibSsl* load() noexcept;
};

}  // namespace stek
