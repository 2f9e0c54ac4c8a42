// What doctor sees of a server's tickets from outside, as its clients do.
#include "daemon/doctor.hpp"
#include "daemon/tls_visit.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

namespace stek::daemon {
namespace {

constexpr unsigned repetitions = 8;  // enough to meet more than one worker

class Examination {
  public:
    Examination(Diagnosis& diagnosis, const Endpoint& endpoint, std::string server_name, const Site* site)
        : diagnosis_(diagnosis), endpoint_(endpoint), server_name_(std::move(server_name)), site_(site) {}

    void run() {
        for (const auto& [version, name] :
             {std::pair(TLS1_3_VERSION, "TLS 1.3"), {TLS1_2_VERSION, "TLS 1.2"}}) {
            TlsVisitor visitor(endpoint_, server_name_, version);
            const auto first = visitor.visit(nullptr);
            if (first.end == VisitEnd::unreachable)
                return fail(
                    "no connection: " + first.error,
                    "start the server that listens there, or name another HOST:PORT (ss -ltnp lists them)");
            if (first.end == VisitEnd::silent)
                return fail("no answer to a TLS handshake within 5 s",
                            "name a port that speaks TLS (ss -ltnp lists them)");
            if (first.end == VisitEnd::no_handshake) {
                refused_.push_back(std::string(name) + " (" + first.error + ")");
                continue;
            }
            spoken_ = true;
            look_at_tickets(visitor, name, first);
        }
        report_refused();
    }

  private:
    [[nodiscard]] std::string subject(const char* version) const { return endpoint_.text() + ", " + version; }
    void fail(const std::string& what, const std::string& remedy) {
        diagnosis_.fail(endpoint_.text(), what, remedy);
    }

    // A server that speaks one of them only is as its site wants it.
    void report_refused() {
        std::string text;
        for (const auto& version : refused_)
            text += (text.empty() ? "" : ", ") + version;
        if (spoken_ && !text.empty())
            diagnosis_.note(endpoint_.text(), "no handshake with " + text);
        else if (!text.empty())
            fail("no handshake with " + text,
                 "name a port that speaks TLS, or the name it serves: --servername NAME");
    }

    void look_at_tickets(TlsVisitor& visitor, const char* version, const Visit& first) {
        if (!first.session)
            return diagnosis_.fail(
                subject(version),
                "it gives no ticket" + (first.error.empty() ? "" : " (" + first.error + ")"),
                "see what is said of the server above; `stekctl status` counts what is declined, and why");
        look_at_key(version, ticket_of(*first.session));
        look_at_lifetime(version, *first.session);
        look_at_resumption(visitor, version, *first.session);
    }

    void look_at_key(const char* version, const std::vector<std::uint8_t>& ticket) {
        std::shared_ptr<const KeyRing> ring;
        try {
            ring = site_ != nullptr ? read_ring_file(site_->config.keyring) : nullptr;
        } catch (const std::exception&) {
            ring.reset();  // diagnose_ring() tells it
        }
        if (!ring)
            return diagnosis_.note(subject(version),
                                   "it gives a ticket; without a key ring it is not known whose");
        const auto record =
            std::find_if(ring->records.begin(), ring->records.end(), [&](const auto& candidate) {
                const auto& name = candidate->name;
                return ticket.size() > name.size() && std::equal(name.begin(), name.end(), ticket.begin());
            });
        if (record == ring->records.end())
            return diagnosis_.fail(
                subject(version), "its ticket is under no key of this machine's ring",
                "restart the server with the provider (OPENSSL_CONF=" + site_->config.server_config +
                    "); if it is on another machine, run doctor there");
        diagnosis_.fine(subject(version), "its ticket is under key " + std::to_string((*record)->epoch) +
                                              "." + std::to_string((*record)->revision));
    }

    void look_at_lifetime(const char* version, const SSL_SESSION& session) {
        if (site_ == nullptr)
            return;
        const auto hint = SSL_SESSION_get_ticket_lifetime_hint(&session);
        const auto window = site_->config.policy.session_timeout;
        if (hint > window)
            diagnosis_.warn(subject(version),
                            "it tells clients to keep tickets for " + std::to_string(hint) +
                                " s, but keys open them for " + std::to_string(window) + " s only",
                            site_->how_to_open_for(static_cast<std::int64_t>(hint)));
    }

    // Each connection may come to another worker. A client offers its newest ticket.
    void look_at_resumption(TlsVisitor& visitor, const char* version, const SSL_SESSION& session) {
        SessionPtr newest(SSL_SESSION_dup(&session));
        unsigned resumed = 0;
        for (unsigned i = 0; i < repetitions; ++i) {
            auto visit = visitor.visit(newest.get());
            resumed += visit.reused ? 1 : 0;
            if (visit.session)
                newest = std::move(visit.session);
        }
        const auto text =
            std::to_string(resumed) + " of " + std::to_string(repetitions) + " connections resumed";
        if (resumed == repetitions)
            diagnosis_.fine(subject(version), text);
        else
            diagnosis_.warn(subject(version), text + (resumed == 0 ? "" : ": not all workers have the keys"),
                            "restart the server; `stekctl status` counts what is declined, and why");
    }

    Diagnosis& diagnosis_;
    const Endpoint& endpoint_;
    std::string server_name_;
    const Site* site_;
    std::vector<std::string> refused_;
    bool spoken_ = false;
};

}  // namespace

void diagnose_connection(Diagnosis& diagnosis, const Endpoint& endpoint, const std::string& server_name,
                         const Site* site) {
    std::signal(SIGPIPE, SIG_IGN);  // a server that hangs up must not end us
    try {
        Examination(diagnosis, endpoint, server_name.empty() ? endpoint.host : server_name, site).run();
    } catch (const std::exception& error) {
        diagnosis.note(endpoint.text(), error.what());
    }
}

}  // namespace stek::daemon
