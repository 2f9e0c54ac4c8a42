#include "provider/outlook.hpp"

#include "provider/handshake.hpp"
#include "provider/routes.hpp"

namespace stek {

namespace {

RouteKey route_of(const LibSsl& libssl, SSL* ssl, const Connection& connection,
                  std::string_view server_name) noexcept {
    const TlsContext* first = context_of(libssl, connection.first_ctx);
    return first != nullptr ? route_key(first->id, libssl.rfd(ssl), server_name) : 0;
}

bool same_clients(const ContextFacts* one, const ContextFacts* other) noexcept {
    return one != nullptr && other != nullptr && one->clients == other->clients;
}

bool asks(const ContextFacts* facts) noexcept {
    return facts == nullptr || facts->verify_mode != SSL_VERIFY_NONE;
}

/// Whoever was let in as `end` says is let in as `facts` say: things that are given to the SSL later may make
/// it ask for more than its context does, but no less.
bool asks_no_more(const ContextFacts* facts, const ContextFacts* end) noexcept {
    return facts != nullptr && end != nullptr && (facts->verify_mode & ~end->verify_mode) == 0;
}

/// As `end`, but for the certificate, which nobody can serve without.
bool has_no_certificate_yet(const ContextFacts* facts, const ContextFacts& end) noexcept {
    return facts != nullptr && facts->spki.empty() && same_clients(facts, &end);
}

bool is_switched(Way way) noexcept {
    return way != Way::stayed && way != Way::given;
}

bool is_switched_after(Way way) noexcept {
    return way == Way::switched_after || way == Way::switched_when_resumed;
}

/// What a resumed connection shows that stayed where it began: the program sends the name elsewhere, or gives
/// the SSL things, in its certificate callback. If not, it has stopped to do so since: which must not let a
/// client in whom this context does not know.
bool may_stay(const Outlook& outlook) noexcept {
    switch (outlook.end.way) {
        case Way::given:
            return asks_no_more(outlook.began_as, outlook.end.facts);
        case Way::stayed:
        case Way::switched_when_resumed:
            return false;
        default:
            return !asks(outlook.began_as) || same_clients(outlook.began_as, outlook.end.facts);
    }
}

bool is_where_it_began(const LibSsl& libssl, SSL* ssl, const Outlook& outlook,
                       const ContextFacts* end) noexcept {
    return libssl.get_ctx(ssl) == outlook.began_in && end == outlook.began_as;
}

/// Contexts of before we attached are found where connections end in them.
void note_context(const LibSsl& libssl, const SSL_CTX* ctx) noexcept {
    if (context_of(libssl, ctx) == nullptr) {
        TlsContext::one_is_not_known();
    }
}

/// A name that was never met goes nowhere: unless the process has contexts that ask for client certificates
/// and others, for then a wrong guess would let somebody in. `chosen`: the program has gone to another
/// context already, with this ClientHello before it.
void look_at_unmet(const LibSsl& libssl, SSL* ssl, bool chosen, Outlook& outlook) noexcept {
    const bool asks_now = libssl.verify_mode(ssl) != SSL_VERIFY_NONE;
    outlook.unknown = !chosen && may_switch_client_authentication(libssl, outlook.began_in, asks_now);
}

/// Contexts were made or freed since the name was met.
void look_at_doubts(const LibSsl& libssl, SSL* ssl, Outlook& outlook) noexcept {
    const bool asks_now = libssl.verify_mode(ssl) != SSL_VERIFY_NONE;
    outlook.must_be_seen = may_switch_client_authentication(libssl, outlook.began_in, asks_now);
    if (!outlook.must_be_seen && !doubts_are_fresh()) {
        learn_route(outlook.route, *outlook.end.facts, outlook.end.way);  // not to be asked again
    }
}

}  // namespace

Outlook look_ahead(const LibSsl& libssl, SSL* ssl, const Connection& connection,
                   std::string_view server_name) noexcept {
    Outlook outlook;
    outlook.route = route_of(libssl, ssl, connection, server_name);
    outlook.began_in = libssl.get_ctx(ssl);
    outlook.began_as = facts_of(libssl, ssl);
    outlook.end.facts = outlook.began_as;
    if (handshakes_anew(libssl, ssl)) {
        outlook.unknown = may_switch_client_authentication(libssl, outlook.began_in, asks(outlook.began_as));
        return outlook;
    }
    // Held against what came true when the next ticket is made, if one is made each time.
    const bool is_checked = is_tls13(libssl, ssl) && libssl.num_tickets(ssl) != 0;
    // By this ClientHello: where a client was asked to try again (HelloRetryRequest), its first one may have
    // had another name.
    const bool moved = outlook.began_in != connection.first_ctx && !is_second_hello(libssl, ssl);
    const Forecast last = forecast(outlook.route);
    if (last.facts == nullptr) {
        const bool is_chosen = moved && !connection.used && (is_checked || !is_tls13(libssl, ssl));
        look_at_unmet(libssl, ssl, is_chosen, outlook);
        return outlook;
    }
    if (moved && last.facts != outlook.began_as && !is_switched_after(last.way)) {
        // Chosen already, by what this client can do.
        outlook.end.way = Way::switched_before;
        outlook.unknown = !is_checked && !same_clients(outlook.began_as, last.facts);
        return outlook;
    }
    outlook.end = last;
    if (last.doubtful && !(moved && last.way == Way::switched_before)) {
        look_at_doubts(libssl, ssl, outlook);
    }
    // It would stay and yet is another by now: its context was changed, or has things given to it, which is
    // not known of it yet. The full handshake will tell.
    outlook.unknown |= last.way == Way::stayed && outlook.began_as != last.facts &&
                       !has_no_certificate_yet(outlook.began_as, *last.facts);
    outlook.unknown |=
        (last.way == Way::switched_unless_resumed || last.way == Way::given) && !may_stay(outlook);
    return outlook;
}

bool has_come_true(const LibSsl& libssl, SSL* ssl, const Outlook& outlook, const ContextFacts* end) noexcept {
    if (end == nullptr || outlook.end.facts == nullptr) {
        return end == outlook.end.facts;
    }
    return end == outlook.end.facts || has_no_certificate_yet(end, *outlook.end.facts) ||
           (is_where_it_began(libssl, ssl, outlook, end) && may_stay(outlook));
}

void learn_from_resumed(const LibSsl& libssl, SSL* ssl, const Connection& connection, const ContextFacts& end,
                        bool came_true) noexcept {
    const Outlook& outlook = connection.outlook;
    const SSL_CTX* const ctx = libssl.get_ctx(ssl);
    const bool stayed = ctx == connection.first_ctx;
    note_context(libssl, ctx);
    if (is_switched(outlook.end.way) && outlook.end.way != Way::switched_when_resumed &&
        outlook.end.facts != nullptr && is_where_it_began(libssl, ssl, outlook, &end) &&
        &end != outlook.end.facts) {
        learn_route(outlook.route, *outlook.end.facts, Way::switched_unless_resumed);
    } else if (!came_true) {
        learn_route(outlook.route, end, stayed ? Way::stayed : Way::switched_when_resumed);
    } else if (outlook.end.facts != nullptr) {
        const Way way = stayed                    ? outlook.end.way
                        : ctx == outlook.began_in ? Way::switched_before
                                                  : Way::switched_when_resumed;
        learn_route(outlook.route, *outlook.end.facts, way);
    }
}

void learn_at_the_end(const LibSsl& libssl, SSL* ssl, const Connection& connection) noexcept {
    const Outlook& outlook = connection.outlook;
    unsigned char none = 0;
    const bool ended = libssl.finished(ssl, &none, 0) > 0;  // it came to our Finished
    if (outlook.end.facts == nullptr || !connection.exchange.opened || connection.sealed_in || !ended ||
        connection.offered_in != client_random(libssl, ssl) || libssl.session_reused(ssl) == 0) {
        return;
    }
    if (const ContextFacts* end = facts_of(libssl, ssl)) {
        learn_from_resumed(libssl, ssl, connection, *end, has_come_true(libssl, ssl, outlook, end));
    }
}

void learn_from_full(const LibSsl& libssl, SSL* ssl, const Connection& connection, const ContextFacts& end,
                     std::string_view server_name, bool ticket_offered) noexcept {
    const RouteKey route = route_of(libssl, ssl, connection, server_name);
    const SSL_CTX* const ctx = libssl.get_ctx(ssl);
    const Outlook& outlook = connection.outlook;
    note_context(libssl, ctx);
    const Forecast before = forecast(route);
    const bool as_before = before.facts == &end;
    Way way = Way::stayed;
    if (ctx == connection.first_ctx) {
        if (ticket_offered ? outlook.began_as != &end : as_before && before.way == Way::given) {
            way = Way::given;
        }
    } else if (as_before &&
               (before.way == Way::switched_unless_resumed || before.way == Way::switched_when_resumed ||
                (!ticket_offered && is_switched(before.way)))) {
        way = before.way;
    } else {
        way = !ticket_offered           ? Way::switched
              : ctx == outlook.began_in ? Way::switched_before
                                        : Way::switched_after;
    }
    learn_route(route, end, way);
}

}  // namespace stek
