#include "provider/ticket_callback.hpp"

#include "provider/connection.hpp"
#include "provider/fetched.hpp"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <limits>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/tls1.h>

namespace stek {

namespace {

constexpr int decline = 0;
constexpr int accept = 1;
constexpr int accept_and_renew = 2;

/// One call's surroundings: all there, or the ticket is declined.
struct Call {
    const LibSsl& libssl;
    ProviderContext& provider;
    Process& process;
    SSL* ssl;
    Connection& connection;
    SSL_CTX* ctx;  ///< whose certificate, verify mode and CAs make the audience
    TlsContext& context;
    std::shared_ptr<const KeyRing> ring;
    std::int64_t now;
};

int declined(Process& process, Decline why) noexcept {
    process.counters.declined(why);
    return decline;
}

std::optional<Audience> audience(const Call& call, std::string_view server_name) noexcept {
    return call.context.audience.of(call.libssl, call.ctx, call.provider.settings(), server_name);
}

/// Hands cipher and MAC to libssl, ready for this record and audience.
bool arm(const Call& call, const RingRecord& record, const unsigned char* iv, EVP_CIPHER_CTX* cipher,
         EVP_MAC_CTX* mac, bool sealing) noexcept {
    const EVP_CIPHER* ours = stek_cipher();
    SecretArray<32> mac_key;
    if (ours == nullptr || !ticket_mac_key(record, call.connection.exchange.audience, mac_key)) {
        return false;
    }
    void* exchange = &call.connection.exchange;
    const OSSL_PARAM for_cipher[] = {
        OSSL_PARAM_construct_octet_string(key_name_param, const_cast<std::uint8_t*>(record.name.data()),
                                          record.name.size()),
        OSSL_PARAM_construct_octet_ptr(ticket_param, &exchange, sizeof call.connection.exchange),
        OSSL_PARAM_construct_end()};
    char digest[] = "SHA256";
    const OSSL_PARAM for_mac[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac_key.data(), mac_key.size()),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
    const bool armed = (sealing ? EVP_EncryptInit_ex2(cipher, ours, nullptr, iv, for_cipher)
                                : EVP_DecryptInit_ex2(cipher, ours, nullptr, iv, for_cipher)) == 1;
    return armed && EVP_MAC_CTX_set_params(mac, for_mac) == 1;
}

/// When the client last proved who it is in a full handshake: bounds how long tickets can beget tickets.
std::int64_t lineage_for_sealing(const Call& call) noexcept {
    if (call.libssl.session_reused(call.ssl) == 0) {
        return call.now;
    }
    if (call.connection.exchange.opened) {
        return std::min(call.connection.exchange.lineage, call.now);
    }
    // Resumed from the server's own session cache (TLS 1.2): the session knows when it began.
    const SSL_SESSION* session = call.libssl.session(call.ssl);
    return session == nullptr ? call.now
                              : std::min<std::int64_t>(call.libssl.session_time(session), call.now);
}

int seal(const Call& call, unsigned char* key_name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
         EVP_MAC_CTX* mac) noexcept {
    const Settings& settings = call.provider.settings();
    const RingRecord* record = sealing_record(*call.ring, call.now, settings.stale_epochs);
    if (record == nullptr) {
        return declined(call.process, Decline::no_key_to_seal);
    }
    TicketExchange& exchange = call.connection.exchange;
    exchange.lineage = lineage_for_sealing(call);
    if (exchange.lineage < call.now - settings.max_lineage) {
        return declined(call.process, Decline::too_old);
    }
    // A resumed connection's ticket is for whom the last one was: on TLS 1.2 libssl then knows the session's
    // name only.
    if (!exchange.opened || call.libssl.session_reused(call.ssl) == 0) {
        const char* name = call.libssl.servername(call.ssl, TLSEXT_NAMETYPE_host_name);
        const auto computed = audience(call, name != nullptr ? name : "");
        if (!computed) {
            return declined(call.process, Decline::no_audience);
        }
        exchange.audience = *computed;
    }
    if (call.process.sealer->prepare(call.ring, *record) != SealStatus::ok) {
        return declined(call.process, Decline::token_down);
    }
    if (!call.process.sealer->take_share(record->name)) {
        return declined(call.process, Decline::key_limit);
    }
    if (!settings.early_data) {
        call.libssl.set_max_early_data(call.ssl, 0);
    }
    std::memcpy(key_name, record->name.data(), record->name.size());
    if (RAND_bytes(iv, gcm_iv_size) != 1 || !arm(call, *record, iv, cipher, mac, true)) {
        return declined(call.process, Decline::malformed);
    }
    if (call.libssl.session_reused(call.ssl) != 0) {
        call.process.counters.renewed();
    }
    return accept;
}

int open(const Call& call, const unsigned char* key_name, const unsigned char* iv, EVP_CIPHER_CTX* cipher,
         EVP_MAC_CTX* mac) noexcept {
    const Settings& settings = call.provider.settings();
    KeyName name{};
    std::memcpy(name.data(), key_name, name.size());
    const RingRecord* record = opening_record(*call.ring, name, call.now);
    if (record == nullptr) {
        const bool known =
            std::ranges::any_of(call.ring->records, [&](const auto& each) { return each->name == name; });
        return declined(call.process, known ? Decline::expired_key : Decline::unknown_key);
    }
    const unsigned char* extension = nullptr;
    std::size_t size = 0;
    std::string_view server_name;
    if (call.libssl.client_hello_extension(call.ssl, TLSEXT_TYPE_server_name, &extension, &size) == 1) {
        const auto parsed = parse_server_name({extension, size});
        if (!parsed) {
            return declined(call.process, Decline::malformed);
        }
        server_name = *parsed;
    }
    TicketExchange& exchange = call.connection.exchange;
    const auto computed = audience(call, server_name);
    if (!computed) {
        return declined(call.process, Decline::no_audience);
    }
    if (call.process.sealer->prepare(call.ring, *record) != SealStatus::ok) {
        return declined(call.process, Decline::token_down);
    }
    exchange = TicketExchange{};
    exchange.audience = *computed;
    exchange.lineage_limit = call.now - settings.max_lineage;
    exchange.lineage_cap = record->seal_until;
    if (!arm(call, *record, iv, cipher, mac, false)) {
        return declined(call.process, Decline::malformed);
    }
    if (!settings.early_data) {
        call.libssl.set_max_early_data(call.ssl, 0);  // 0-RTT data can be replayed anywhere in the location
    }
    // TLS 1.3 clients use a ticket once: without a new one each time, half of all resumptions would be lost.
    if (call.libssl.version(call.ssl) >= TLS1_3_VERSION) {
        return accept_and_renew;
    }
    const RingRecord* newest = sealing_record(*call.ring, call.now, settings.stale_epochs);
    if (newest == nullptr || newest == record) {
        return accept;
    }
    return accept_and_renew;
}

/// The SSL_CTX that SSL_new was given. HAProxy gives a bare one: its client hello callback, which runs before
/// any ticket is opened, has then switched to the bind's context with certificate and verify mode.
SSL_CTX* audience_ctx(const LibSsl& libssl, const SSL* ssl, const Connection& connection) noexcept {
    const bool bare = libssl.ctx_certificate(connection.first_ctx) == nullptr;
    return bare ? libssl.get_ctx(ssl) : connection.first_ctx;
}

int answer(SSL* ssl, unsigned char* key_name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
           int sealing) noexcept {
    const LibSsl* libssl = LibSsl::load();
    ProviderContext* provider = attached_provider();
    if (libssl == nullptr || provider == nullptr) {
        return decline;
    }
    Process* process = provider->process();
    if (process == nullptr) {
        return decline;
    }
    Connection* connection = connection_of(*libssl, ssl);
    SSL_CTX* ctx = connection != nullptr ? audience_ctx(*libssl, ssl, *connection) : nullptr;
    TlsContext* context = ctx != nullptr ? context_of(*libssl, ctx) : nullptr;
    if (context == nullptr) {
        return declined(*process, Decline::no_audience);
    }
    const Call call{*libssl,           *provider, *process, ssl,
                    *connection,       ctx,       *context, provider->ring(*process),
                    std::time(nullptr)};
    if (!call.ring) {
        return declined(*process, Decline::no_ring);
    }
    return sealing != 0 ? seal(call, key_name, iv, cipher, mac) : open(call, key_name, iv, cipher, mac);
}

}  // namespace

int ticket_callback(SSL* ssl, unsigned char* key_name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                    EVP_MAC_CTX* mac, int sealing) noexcept {
    // What we leave in the error queue the server would log as its own, or take for a failed handshake.
    ERR_set_mark();
    const int result = answer(ssl, key_name, iv, cipher, mac, sealing);
    ERR_pop_to_mark();
    return result;
}

}  // namespace stek
