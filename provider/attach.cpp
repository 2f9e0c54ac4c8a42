#include "provider/attach.hpp"

#include "provider/connection.hpp"
#include "provider/journal.hpp"
#include "provider/no_cancel.hpp"
#include "provider/outlook.hpp"
#include "provider/own_errors.hpp"
#include "provider/ticket_callback.hpp"

#include <atomic>
#include <ctime>
#include <new>
#include <string>

#include <openssl/crypto.h>

namespace stek {

namespace {

std::atomic<ProviderContext*> attached{nullptr};
int ctx_index = -1;
int ssl_index = -1;
std::atomic<bool> announced{false};

/// Why this OpenSSL cannot be attached to; null if it can.
const char* unfit(unsigned long version) noexcept {
    constexpr unsigned long first_that_declines_well = 0x30000060UL, first_of_another_order = 0x30200000UL;
    if (version < first_that_declines_well) {
        return "OpenSSL before 3.0.6 sends a malformed message for a declined ticket";
    }
    // There ex_data's functions run before an SSL has its SSL_CTX and after its session is gone: where a
    // connection began and ended, which keeps clients of one context out of another, would not be known.
    return version >= first_of_another_order ? "OpenSSL 3.2 and later are not known yet" : nullptr;
}

void take_over(const LibSsl& ssl, SSL_CTX* ctx) noexcept {
    ssl.set_ticket_callback(ctx, ticket_callback);
}

void announce(const LibSsl*& ssl) noexcept {
    if (!announced.exchange(true)) {
        if (ssl != nullptr) {
            journal::send(journal::Level::notice, "attached to TLS", {{"STEK_STATE", "attached"}});
        } else {
            journal::send(journal::Level::error,
                          "a TLS context was made, but its libssl cannot be found: not attached",
                          {{"STEK_STATE", "not-attached"}});
        }
    }
}

void ctx_new(void* parent, void*, CRYPTO_EX_DATA* data, int index, long, void*) noexcept {
    const NoCancel whole;
    const OwnErrors own;
    const LibSsl* ssl = LibSsl::load();
    announce(ssl);
    if (ssl == nullptr) {
        TlsContext::one_is_not_known();
        return;
    }
    auto* state = new (std::nothrow) TlsContext(*ssl, static_cast<SSL_CTX*>(parent));
    if (state == nullptr) {
        TlsContext::one_is_not_known();
    } else if (CRYPTO_set_ex_data(data, index, state) != 1) {
        TlsContext::one_is_not_known();
        delete state;
    }
    take_over(*ssl, static_cast<SSL_CTX*>(parent));
}

void ctx_free(void*, void* state, CRYPTO_EX_DATA*, int, long, void*) noexcept {
    const NoCancel whole;
    delete static_cast<TlsContext*>(state);
}

void ssl_new(void* parent, void*, CRYPTO_EX_DATA* data, int index, long, void*) noexcept {
    const NoCancel whole;
    const OwnErrors own;
    const LibSsl* ssl = LibSsl::load();
    if (ssl == nullptr) {
        return;
    }
    auto* connection = new (std::nothrow) Connection;
    if (connection == nullptr) {
        return;
    }
    // The SSL_CTX that SSL_new was given: the SSL keeps a reference to it, even when SNI switches to another.
    connection->first_ctx = ssl->get_ctx(static_cast<SSL*>(parent));
    connection->made_at = std::time(nullptr);
    if (CRYPTO_set_ex_data(data, index, connection) != 1) {
        delete connection;
        return;
    }
    if (attached.load(std::memory_order_relaxed)->settings().attach == Attach::force) {
        auto* ctx_state = static_cast<TlsContext*>(ssl->ctx_get_ex_data(connection->first_ctx, ctx_index));
        if (ctx_state != nullptr && !ctx_state->forced.exchange(true)) {
            take_over(*ssl, connection->first_ctx);
        }
    }
}

// The SSL has all that it had yet but for its X509_VERIFY_PARAM.
void ssl_free(void* parent, void* state, CRYPTO_EX_DATA*, int, long, void*) noexcept {
    const NoCancel whole;
    const OwnErrors own;
    auto* const connection = static_cast<Connection*>(state);
    const LibSsl* ssl = LibSsl::load();
    if (connection != nullptr && ssl != nullptr) {
        learn_at_the_end(*ssl, static_cast<SSL*>(parent), *connection);
    }
    delete connection;
}

int ssl_dup(CRYPTO_EX_DATA* to, const CRYPTO_EX_DATA*, void** value, int index, long, void*) noexcept {
    // SSL_dup() has made the copy by SSL_new(): it keeps the state it got there, or both would free the same
    // one.
    *static_cast<void**>(value) = CRYPTO_get_ex_data(to, index);
    return 1;
}

}  // namespace

Connection* connection_of(const LibSsl& ssl, const SSL* connection) noexcept {
    return static_cast<Connection*>(ssl.get_ex_data(connection, ssl_index));
}

TlsContext* context_of(const LibSsl& ssl, const SSL_CTX* ctx) noexcept {
    return static_cast<TlsContext*>(ssl.ctx_get_ex_data(ctx, ctx_index));
}

ProviderContext* attached_provider() noexcept {
    return attached.load(std::memory_order_acquire);
}

bool attach_to_tls(ProviderContext& context) noexcept {
    if (const char* reason = unfit(OpenSSL_version_num())) {
        journal::send(journal::Level::error, std::string("not attached: ") + reason,
                      {{"STEK_STATE", "not-attached"}});
        return false;
    }
    ProviderContext* none = nullptr;
    if (!attached.compare_exchange_strong(none, &context)) {
        return false;
    }
    ssl_index = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL, 0, nullptr, ssl_new, ssl_dup, ssl_free);
    ctx_index = ssl_index < 0 ? -1
                              : CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL_CTX, 0, nullptr, ctx_new, nullptr,
                                                        ctx_free);
    if (ctx_index < 0) {
        journal::send(journal::Level::error, "not attached: no ex_data index to be had",
                      {{"STEK_STATE", "not-attached"}});
        return false;
    }
    return true;
}

}  // namespace stek
