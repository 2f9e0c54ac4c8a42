#include "daemon/control_client.hpp"

#include "provider/file.hpp"

#include <cerrno>
#include <cstring>
#include <poll.h>
#include <thread>

#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <sys/un.h>

namespace stek::daemon {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds pause_when_busy{50};

class Deadline {
  public:
    explicit Deadline(milliseconds patience) : at_(Clock::now() + patience) {}
    [[nodiscard]] milliseconds left() const {
        return std::max(std::chrono::duration_cast<milliseconds>(at_ - Clock::now()), milliseconds{0});
    }

  private:
    Clock::time_point at_;
};

[[noreturn]] void fail(const std::string& socket, const std::string& why) {
    throw ControlError("stekd at " + socket + ": " + why);
}

Fd connect_to(const std::string& path, const Deadline& deadline) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        fail(path, "the socket's path is too long");
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (!fd)
        fail(path, std::strerror(errno));
    // Bounds connect() too, where the queue of connections is full (unix(7)). Zero would be no bound.
    const auto left = std::max(deadline.left(), milliseconds{1});
    const timeval limit{left.count() / 1000, (left.count() % 1000) * 1000};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
        return fd;
    switch (errno) {
        case ENOENT:
        case ECONNREFUSED:
            fail(path, "it does not run");
        case EACCES:
            fail(path, "only root and stekd's own user may ask it");
        case EAGAIN:
            fail(path, "it takes no connection");
        default:
            fail(path, std::strerror(errno));
    }
}

std::string receive(const std::string& path, int fd, const Deadline& deadline) {
    pollfd wanted{fd, POLLIN, 0};
    if (::poll(&wanted, 1, static_cast<int>(deadline.left().count())) == 0)
        fail(path, "no answer in time; what was asked may still be done");
    std::string text(longest_reply, '\0');
    auto length = ::recv(fd, text.data(), text.size(), MSG_TRUNC);
    // A refusal may come with a reset, for what we sent was not read; the error is told first, and once.
    if (length < 0 && errno == ECONNRESET)
        length = ::recv(fd, text.data(), text.size(), MSG_TRUNC | MSG_DONTWAIT);
    if (length <= 0)
        fail(path, "it hung up without an answer; what was asked may be done or not");
    if (static_cast<std::size_t>(length) > text.size())
        fail(path, "the answer is too long");
    text.resize(static_cast<std::size_t>(length));
    return text;
}

json exchange(const std::string& path, const std::string& request, const Deadline& deadline) {
    const auto fd = connect_to(path, deadline);
    // EPIPE: it sends us away, and says why.
    if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0 && errno != EPIPE)
        fail(path, std::string("cannot ask: ") + std::strerror(errno));
    auto reply = json::parse(receive(path, fd.get(), deadline), nullptr, false);
    if (!reply.is_object() || !reply.contains("ok") || !reply.at("ok").is_boolean())
        fail(path, "the answer cannot be understood");
    return reply;
}

}  // namespace

json ask_stekd(const std::string& socket, const json& request, milliseconds patience) {
    const Deadline deadline(patience);
    const auto text = request.dump();
    if (text.size() > longest_request)
        fail(socket, "the request is too long; ask for less at once");
    for (;;) {
        auto reply = exchange(socket, text, deadline);
        if (reply.at("ok").get<bool>())
            return reply;
        // Sent away before it was heard: asking again asks once.
        const auto busy = reply.find("busy");
        if (busy != reply.end() && *busy == true && deadline.left() > pause_when_busy) {
            std::this_thread::sleep_for(pause_when_busy);
            continue;
        }
        const auto error = reply.find("error");
        fail(socket, error != reply.end() && error->is_string() ? error->get<std::string>() : "it refused");
    }
}

}  // namespace stek::daemon
