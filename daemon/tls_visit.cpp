#include "daemon/tls_visit.hpp"

#include "provider/file.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <netdb.h>
#include <poll.h>
#include <stdexcept>

#include <openssl/err.h>
#include <sys/socket.h>

namespace stek::daemon {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds patience{5000}, patience_for_tickets{1000};

/// Waits until the socket can do that; false if the time is over.
bool await(int fd, short events, Clock::time_point deadline) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now()).count();
    pollfd wanted{fd, events, 0};
    return left > 0 && ::poll(&wanted, 1, static_cast<int>(left)) == 1;
}

struct FreeAddresses {
    void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};

/// A socket that does not block, connected to one of the host's addresses; else none, and `error`.
Fd connect_to(const Endpoint& endpoint, std::string& error) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* raw = nullptr;
    if (const int code = ::getaddrinfo(endpoint.host.c_str(), endpoint.port.c_str(), &hints, &raw);
        code != 0) {
        error = ::gai_strerror(code);
        return {};
    }
    const std::unique_ptr<addrinfo, FreeAddresses> addresses(raw);
    const auto deadline = Clock::now() + patience;
    for (const addrinfo* address = raw; address != nullptr; address = address->ai_next) {
        Fd fd(::socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        if (!fd) {
            error = std::strerror(errno);
            continue;
        }
        int result = ::connect(fd.get(), address->ai_addr, address->ai_addrlen) == 0 ? 0 : errno;
        if (result == EINPROGRESS) {
            socklen_t size = sizeof result;
            if (!await(fd.get(), POLLOUT, deadline))
                result = ETIMEDOUT;
            else
                ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &result, &size);
        }
        if (result == 0)
            return fd;
        error = std::strerror(result);
    }
    return {};
}

bool is_address(const std::string& name) {
    in6_addr address{};
    return ::inet_pton(AF_INET, name.c_str(), &address) == 1 ||
           ::inet_pton(AF_INET6, name.c_str(), &address) == 1;
}

std::string why(SSL* ssl, int result) {
    const int kind = SSL_get_error(ssl, result);
    const int system = errno;
    if (const auto code = ERR_peek_error(); code != 0) {
        const char* reason = ERR_reason_error_string(code);
        ERR_clear_error();
        return reason != nullptr ? reason : "unknown TLS error";
    }
    return kind == SSL_ERROR_SYSCALL && system != 0 ? std::strerror(system) : "the server hung up";
}

/// Calls until it is done or the time is over. `call` is SSL_connect or SSL_read.
enum class Ended { done, failed, too_late };
template <class Call>
Ended drive(SSL* ssl, Clock::time_point deadline, std::string& error, const Call& call) {
    for (;;) {
        ERR_clear_error();
        errno = 0;
        const int result = call();
        if (result > 0)
            return Ended::done;
        const int wants = SSL_get_error(ssl, result);
        if (wants != SSL_ERROR_WANT_READ && wants != SSL_ERROR_WANT_WRITE) {
            error = why(ssl, result);
            return Ended::failed;
        }
        if (!await(SSL_get_fd(ssl), wants == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline))
            return Ended::too_late;
    }
}

int keep_session(SSL* ssl, SSL_SESSION* session) {
    auto* visit = static_cast<Visit*>(SSL_get_app_data(ssl));
    if (SSL_SESSION_has_ticket(session) == 0)
        return 0;
    visit->session.reset(session);
    return 1;  // it is ours now
}

// TLS 1.3 tickets come behind the handshake, and only who reads gets them.
void await_tickets(SSL* ssl, Visit& visit) {
    auto deadline = Clock::now() + patience_for_tickets;
    while (!visit.session) {
        char ignored[256];
        const auto ended = drive(ssl, deadline, visit.error, [&] {
            const int result = SSL_read(ssl, ignored, sizeof ignored);
            if (visit.session)
                deadline = Clock::time_point();  // what is there has been read: wait for nothing more
            return result;
        });
        if (ended != Ended::done)
            return;
    }
}

}  // namespace

std::vector<std::uint8_t> ticket_of(const SSL_SESSION& session) {
    const unsigned char* ticket = nullptr;
    std::size_t size = 0;
    SSL_SESSION_get0_ticket(&session, &ticket, &size);
    return {ticket, ticket + size};
}

TlsVisitor::TlsVisitor(Endpoint endpoint, std::string server_name, int version)
    : endpoint_(std::move(endpoint)),
      server_name_(std::move(server_name)),
      context_(SSL_CTX_new(TLS_client_method())) {
    if (!context_ || SSL_CTX_set_min_proto_version(context_.get(), version) != 1 ||
        SSL_CTX_set_max_proto_version(context_.get(), version) != 1)
        throw std::runtime_error("OpenSSL gives no TLS client");
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_NONE, nullptr);
    SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context_.get(), keep_session);
}

Visit TlsVisitor::visit(SSL_SESSION* offered) {
    Visit visit;
    const auto fd = connect_to(endpoint_, visit.error);
    if (!fd)
        return visit;
    const std::unique_ptr<SSL, FreeTls> ssl(SSL_new(context_.get()));
    if (!ssl || SSL_set_fd(ssl.get(), fd.get()) != 1) {
        visit.error = "OpenSSL gives no connection";
        return visit;
    }
    SSL_set_app_data(ssl.get(), &visit);
    if (!server_name_.empty() && !is_address(server_name_))
        SSL_set_tlsext_host_name(ssl.get(), server_name_.c_str());
    if (offered != nullptr)
        SSL_set_session(ssl.get(), offered);
    const auto ended =
        drive(ssl.get(), Clock::now() + patience, visit.error, [&] { return SSL_connect(ssl.get()); });
    if (ended != Ended::done) {
        visit.end = ended == Ended::too_late ? VisitEnd::silent : VisitEnd::no_handshake;
        return visit;
    }
    visit.end = VisitEnd::done;
    visit.reused = SSL_session_reused(ssl.get()) == 1;
    if (SSL_version(ssl.get()) >= TLS1_3_VERSION)
        await_tickets(ssl.get(), visit);
    // Without it OpenSSL takes the session for a broken one.
    SSL_shutdown(ssl.get());
    return visit;
}

}  // namespace stek::daemon
