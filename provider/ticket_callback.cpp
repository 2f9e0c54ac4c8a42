#include "provider/ticket_callback.hpp"

#include "provider/audience.hpp"
#include "provider/connection.hpp"
#include "provider/fetched.hpp"
#include "provider/handshake.hpp"
#include "provider/journal.hpp"
#include "provider/no_cancel.hpp"
#include "provider/outlook.hpp"
#include "provider/own_errors.hpp"

#include <algorithm>
#include <cstring>
#include <ctime>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

namespace stek {

namespace {

constexpr int refuse = -1;  // a fatal alert: see crossed()
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
    SSL_CTX* ctx;  ///< the one in force at this moment
    std::shared_ptr<const KeyRing> ring;
    std::int64_t now;
};

int declined(Process& process, Decline why) noexcept {
    process.counters.declined(why);
    return decline;
}

/// Null if it is not known what the connection stands for.
const ContextFacts* facts_of(const Call& call) noexcept {
    return stek::facts_of(call.libssl, call.ssl);
}

bool is_tls13(const Call& call) noexcept {
    return stek::is_tls13(call.libssl, call.ssl);
}

ClientRandom client_random(const Call& call) noexcept {
    return stek::client_random(call.libssl, call.ssl);
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
/// `later`: not in the handshake, but by a call of the program.
std::int64_t lineage_for_sealing(const Call& call, bool by_our_ticket, bool later) noexcept {
    if (by_our_ticket) {
        return std::min(call.connection.exchange.lineage, call.now);
    }
    if (is_tls13(call) && later) {
        return call.connection.lineage;
    }
    if (call.libssl.session_reused(call.ssl) != 0) {
        // From the server's own session cache (TLS 1.2): the session knows when it began.
        const SSL_SESSION* session = call.libssl.session(call.ssl);
        return session == nullptr ? call.now
                                  : std::min<std::int64_t>(call.libssl.session_time(session), call.now);
    }
    // Whose handshakes make no tickets has this one made at any time since.
    const bool on_demand = is_tls13(call) && call.libssl.num_tickets(call.ssl) == 0;
    return on_demand ? std::min(call.connection.made_at, call.now) : call.now;
}

/// The server has switched to another SSL_CTX than the ticket was opened for: the route has changed since the
/// last connection by this name. No new ticket; and if that context asks for certificates that the session
/// knows nothing of, no connection either, for libssl would take the client for authenticated.
int crossed(const Call& call, const ContextFacts* end) noexcept {
    declined(call.process, Decline::foreign);
    const Outlook& outlook = call.connection.outlook;
    const int mode = call.libssl.verify_mode(call.ssl);
    const bool same_clients =
        end != nullptr && outlook.end.facts != nullptr && end->clients == outlook.end.facts->clients;
    // There was no memory to look: then it is known only whether anything was switched.
    const bool as_it_was = end == nullptr && call.ctx == outlook.began_in && outlook.began_as != nullptr &&
                           outlook.began_as->verify_mode == mode;
    // Who has shown no certificate and need not show one is nobody, here and there.
    const SSL_SESSION* session = call.libssl.session(call.ssl);
    const bool anonymous = (mode & SSL_VERIFY_FAIL_IF_NO_PEER_CERT) == 0 && session != nullptr &&
                           call.libssl.session_peer(const_cast<SSL_SESSION*>(session)) == nullptr;
    if (mode == SSL_VERIFY_NONE || same_clients || as_it_was || anonymous) {
        return decline;
    }
    journal::send(journal::Level::warning,
                  "a resumed connection was switched to a context with other client authentication: refused",
                  {{"STEK_STATE", "crossed"}});
    return refuse;
}

/// Whether this is not the ticket of the connection's first handshake: libssl makes more of them when it
/// handshakes anew, and after a client certificate that the program asked for later (TLS 1.3).
bool goes_on(const Call& call) noexcept {
    return handshakes_anew(call.libssl, call.ssl) ||
           (is_tls13(call) && call.connection.sealed_in == client_random(call));
}

int seal(const Call& call, unsigned char* key_name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
         EVP_MAC_CTX* mac) noexcept {
    const Settings& settings = call.provider.settings();
    TicketExchange& exchange = call.connection.exchange;
    const bool ticket_offered = call.connection.offered_in == client_random(call);
    const bool by_our_ticket = ticket_offered && exchange.opened && call.libssl.session_reused(call.ssl) != 0;
    const char* name = call.libssl.servername(call.ssl, TLSEXT_NAMETYPE_host_name);
    const std::string_view server_name = name != nullptr ? name : "";
    const ContextFacts* end = settings.audience_replaces ? nullptr : facts_of(call);
    const bool came_true =
        by_our_ticket && has_come_true(call.libssl, call.ssl, call.connection.outlook, end);
    const ContextFacts* stands_for = came_true ? call.connection.outlook.end.facts : end;
    const bool later = goes_on(call);
    if (later && stands_for != call.connection.sealed_as) {
        // The program asks for other client certificates by now, as Apache does for some of its resources.
        // That is not where the next connection begins: nothing is learned from it, nor would a ticket lead
        // there.
        return declined(call.process, Decline::no_audience);
    }
    call.connection.used = true;
    if (!later) {
        call.connection.sealed_as = stands_for;
        call.connection.sealed_in = client_random(call);
        // Of a resumed connection libssl knows the session's name only on TLS 1.2: its outlook has it.
        if (end != nullptr && by_our_ticket) {
            learn_from_resumed(call.libssl, call.ssl, call.connection, *end, came_true);
        } else if (end != nullptr) {
            learn_from_full(call.libssl, call.ssl, call.connection, *end, server_name, ticket_offered);
        }
    }
    if (by_our_ticket && !came_true) {
        return crossed(call, end);
    }
    if (!call.ring) {
        return declined(call.process, Decline::no_ring);
    }
    const RingRecord* record = sealing_record(*call.ring, call.now, settings.stale_epochs);
    if (record == nullptr) {
        return declined(call.process, Decline::no_key_to_seal);
    }
    exchange.lineage = lineage_for_sealing(call, by_our_ticket, later);
    call.connection.lineage = exchange.lineage;
    if (exchange.lineage < call.now - settings.max_lineage) {
        return declined(call.process, Decline::too_old);
    }
    if (!by_our_ticket) {
        // Of a session from the server's own cache (TLS 1.2) libssl knows the name only if the server has a
        // servername callback. A ticket for no name would not open under the client's.
        if (name == nullptr && !settings.audience_replaces && call.libssl.session_reused(call.ssl) != 0 &&
            !is_tls13(call)) {
            return declined(call.process, Decline::no_audience);
        }
        const auto computed = audience_of(end, settings, server_name);
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
    if (!is_tls13(call)) {
        call.connection.offered_in.reset();  // there is one ticket a handshake
    }
    return accept;
}

int open(Call& call, const unsigned char* key_name, const unsigned char* iv, EVP_CIPHER_CTX* cipher,
         EVP_MAC_CTX* mac) noexcept {
    if (!call.ring) {
        return declined(call.process, Decline::no_ring);
    }
    const Settings& settings = call.provider.settings();
    KeyName name{};
    std::memcpy(name.data(), key_name, name.size());
    const RingRecord* record = opening_record(*call.ring, name, call.now);
    if (record == nullptr) {
        if (is_known(*call.ring, name)) {
            return declined(call.process, Decline::expired_key);
        }
        // Another worker may have seen a new ring, and sealed under its key, within this second.
        if (auto newer = call.provider.newer_ring(call.process)) {
            call.ring = std::move(newer);
            record = opening_record(*call.ring, name, call.now);
        }
        if (record == nullptr) {
            return declined(call.process, Decline::unknown_key);
        }
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
    Connection& connection = call.connection;
    // Where the settings' audience replaces all, no context matters.
    connection.outlook =
        settings.audience_replaces ? Outlook{} : look_ahead(call.libssl, call.ssl, connection, server_name);
    connection.used = true;
    connection.offered_in = client_random(call);
    connection.sealed_in.reset();
    const Outlook& outlook = connection.outlook;
    TicketExchange& exchange = connection.exchange;
    exchange = TicketExchange{};
    const bool tls13 = is_tls13(call);
    // What is to be seen is seen when the next ticket is made.
    if (outlook.unknown || (outlook.must_be_seen && tls13 && call.libssl.num_tickets(call.ssl) == 0)) {
        return declined(call.process, Decline::foreign);
    }
    const auto computed = audience_of(outlook.end.facts, settings, server_name);
    if (!computed) {
        return declined(call.process, Decline::no_audience);
    }
    if (call.process.sealer->prepare(call.ring, *record) != SealStatus::ok) {
        return declined(call.process, Decline::token_down);
    }
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
    // In TLS 1.2 a new one is rather a loss: some clients that were given one keep neither.
    if (tls13 || outlook.must_be_seen) {
        return accept_and_renew;
    }
    const RingRecord* newest = sealing_record(*call.ring, call.now, settings.stale_epochs);
    return newest == nullptr || newest == record ? accept : accept_and_renew;
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
    if (connection == nullptr) {
        return declined(*process, Decline::no_audience);
    }
    Call call{*libssl,
              *provider,
              *process,
              ssl,
              *connection,
              libssl->get_ctx(ssl),
              provider->ring(*process),
              std::time(nullptr)};
    return sealing != 0 ? seal(call, key_name, iv, cipher, mac) : open(call, key_name, iv, cipher, mac);
}

}  // namespace

int ticket_callback(SSL* ssl, unsigned char* key_name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                    EVP_MAC_CTX* mac, int sealing) noexcept {
    const NoCancel whole;
    const OwnErrors own;
    return answer(ssl, key_name, iv, cipher, mac, sealing);
}

}  // namespace stek
