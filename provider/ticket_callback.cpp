#include "provider/ticket_callback.hpp"

#include "provider/audience.hpp"
#include "provider/connection.hpp"
#include "provider/fetched.hpp"
#include "provider/journal.hpp"
#include "provider/own_errors.hpp"
#include "provider/routes.hpp"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <limits>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/tls1.h>

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
    return call.libssl.version(call.ssl) == TLS1_3_VERSION;  // the numbers of DTLS are larger
}

RouteKey route_of(const Call& call, std::string_view server_name) noexcept {
    const TlsContext* first = context_of(call.libssl, call.connection.first_ctx);
    return first != nullptr ? route_key(first->id, call.libssl.rfd(call.ssl), server_name) : 0;
}

ClientRandom client_random(const Call& call) noexcept {
    ClientRandom random{};
    call.libssl.client_random(call.ssl, random.data(), random.size());
    return random;
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
std::int64_t lineage_for_sealing(const Call& call, bool by_our_ticket) noexcept {
    if (call.libssl.session_reused(call.ssl) == 0) {
        return call.now;
    }
    if (by_our_ticket) {
        return std::min(call.connection.exchange.lineage, call.now);
    }
    // Resumed from the server's own session cache (TLS 1.2): the session knows when it began.
    const SSL_SESSION* session = call.libssl.session(call.ssl);
    return session == nullptr ? call.now
                              : std::min<std::int64_t>(call.libssl.session_time(session), call.now);
}

/// The server has switched to another SSL_CTX than the ticket was opened for: the route has changed since the
/// last connection by this name. No new ticket; and if that context asks for certificates that the session
/// knows nothing of, no connection either, for libssl would take the client for authenticated.
int crossed(const Call& call, const ContextFacts* end) noexcept {
    declined(call.process, Decline::foreign);
    const Connection& connection = call.connection;
    const int mode = call.libssl.verify_mode(call.ssl);
    const bool same_clients = end != nullptr && connection.expected.facts != nullptr &&
                              end->clients == connection.expected.facts->clients;
    // There was no memory to look: then it is known only whether anything was switched.
    const bool as_it_was = end == nullptr && call.ctx == connection.opened_ctx &&
                           connection.opened_as != nullptr && connection.opened_as->verify_mode == mode;
    if (mode == SSL_VERIFY_NONE || same_clients || as_it_was) {
        return decline;
    }
    journal::send(journal::Level::warning,
                  "a resumed connection was switched to a context with other client authentication: refused",
                  {{"STEK_STATE", "crossed"}});
    return refuse;
}

/// As `end`, but for the certificate, which nobody can serve without.
bool has_no_certificate_yet(const ContextFacts* facts, const ContextFacts& end) noexcept {
    return facts != nullptr && facts->spki.empty() && facts->clients == end.clients;
}

/// Whether the connection ended where the forecast said. A resumed one shows no certificate, so libssl calls
/// no certificate callback in it: who gives the SSL things there has given none then.
bool as_expected(const Call& call, const ContextFacts* end) noexcept {
    const Forecast& expected = call.connection.expected;
    if (end == nullptr || expected.facts == nullptr) {
        return end == expected.facts;
    }
    const bool as_it_began = expected.way == Way::given && call.ctx == call.connection.first_ctx &&
                             end == call.connection.opened_as;
    return end == expected.facts || has_no_certificate_yet(end, *expected.facts) || as_it_began;
}

/// How a connection that was not resumed by a ticket came to what it is now.
Way way_to(const Call& call, const ContextFacts& end, RouteKey route, bool ticket_offered) noexcept {
    if (call.ctx != call.connection.first_ctx) {
        return Way::switched;
    }
    if (ticket_offered) {  // so it is known what it began as
        return call.connection.opened_as == &end ? Way::stayed : Way::given;
    }
    const Forecast before = forecast(route);
    return before.facts == &end && before.way == Way::given ? Way::given : Way::stayed;
}

/// Whether this is not the first handshake of the connection (TLS 1.2: renegotiation).
bool handshakes_anew(const Call& call) noexcept {
    unsigned char none = 0;  // the size of our Finished before this one is what it returns
    return !is_tls13(call) && call.libssl.finished(call.ssl, &none, 0) > 0;
}

/// Whether this is not the ticket of the connection's first handshake: libssl makes more of them when it
/// handshakes anew, and after a client certificate that the program asked for later (TLS 1.3).
bool goes_on(const Call& call) noexcept {
    return handshakes_anew(call) || (is_tls13(call) && call.connection.sealed_in == client_random(call));
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
    const bool expected = by_our_ticket && as_expected(call, end);
    if (expected) {
        end = call.connection.expected.facts;
    }
    if (!goes_on(call)) {
        call.connection.sealed_as = end;
        call.connection.sealed_in = client_random(call);
        if (end != nullptr) {
            // Of a resumed connection libssl knows the session's name only on TLS 1.2.
            const RouteKey route = by_our_ticket ? call.connection.route : route_of(call, server_name);
            learn_route(route, *end,
                        expected ? call.connection.expected.way : way_to(call, *end, route, ticket_offered));
        }
    } else if (end != call.connection.sealed_as) {
        // The program asks for other client certificates by now, as Apache does for some of its resources.
        // That is not where the next connection begins: nothing is learned from it, nor would a ticket lead
        // there.
        return declined(call.process, Decline::no_audience);
    }
    if (by_our_ticket && !expected) {
        return crossed(call, end);
    }
    if (!call.ring) {
        return declined(call.process, Decline::no_ring);
    }
    const RingRecord* record = sealing_record(*call.ring, call.now, settings.stale_epochs);
    if (record == nullptr) {
        return declined(call.process, Decline::no_key_to_seal);
    }
    exchange.lineage = lineage_for_sealing(call, by_our_ticket);
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
    return accept;
}

/// Where a connection by this name will end. Empty where the settings' audience replaces all: no context
/// matters then.
struct Outlook {
    RouteKey route = 0;
    const ContextFacts* now = nullptr;
    Forecast end{};
    bool unknown = false;  ///< it may end where clients must show who they are, or come from there
    bool must_be_seen =
        false;  ///< it may be going elsewhere by now: held against what came true, it is known
};

/// A server that has switched already (in its client hello callback: HAProxy, Apache) will stay there, and
/// one that handshakes anew in a connection, where it is. Of another, the last connection by this name tells
/// where it goes. Before the first one, it goes nowhere: unless the process has contexts that ask for client
/// certificates and others, for then a wrong guess would let somebody in.
Outlook look_ahead(const Call& call, std::string_view server_name) noexcept {
    Outlook outlook;
    if (call.provider.settings().audience_replaces) {
        return outlook;
    }
    outlook.route = route_of(call, server_name);
    outlook.now = facts_of(call);
    const bool settled = call.ctx != call.connection.first_ctx || handshakes_anew(call);
    if (!settled) {
        outlook.end = forecast(outlook.route);
    }
    const bool known = outlook.end.facts != nullptr;
    if (!settled && (!known || outlook.end.doubtful)) {
        const bool asks = call.libssl.verify_mode(call.ssl) != SSL_VERIFY_NONE;
        const bool may = may_switch_client_authentication(call.libssl, call.ctx, asks);
        outlook.unknown = may && !known;
        outlook.must_be_seen = may && known;
        if (known && !may && !doubts_are_fresh()) {
            learn_route(outlook.route, *outlook.end.facts, outlook.end.way);  // not to be asked again
        }
    }
    // It would stay and yet is another by now: its context was changed, or has things given to it, which is
    // not known of it yet. The full handshake will tell.
    outlook.unknown |= known && outlook.end.way == Way::stayed && outlook.now != outlook.end.facts &&
                       !has_no_certificate_yet(outlook.now, *outlook.end.facts);
    if (!known) {
        outlook.end.facts = outlook.now;
    }
    return outlook;
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
    const Outlook outlook = look_ahead(call, server_name);
    Connection& connection = call.connection;
    TicketExchange& exchange = connection.exchange;
    exchange = TicketExchange{};
    connection.route = outlook.route;
    connection.expected = outlook.end;
    connection.opened_as = outlook.now;
    connection.opened_ctx = call.ctx;
    connection.offered_in = client_random(call);
    connection.sealed_in.reset();
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
    const OwnErrors own;
    return answer(ssl, key_name, iv, cipher, mac, sealing);
}

}  // namespace stek
