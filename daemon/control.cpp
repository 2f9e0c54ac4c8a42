#include "daemon/control.hpp"

#include "daemon/control_client.hpp"
#include "daemon/log.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace stek::daemon {
namespace {

using nlohmann::json;

constexpr int most_accepted = 32;  // a turn of the loop
constexpr std::uint64_t microseconds = 1'000'000;
constexpr std::int64_t own_priority = SD_EVENT_PRIORITY_NORMAL + 1;  // rotation first
constexpr std::int64_t timer_priority = own_priority + 1;            // who has spoken is not silent

void must(int result, const char* what) {
    if (result < 0)
        throw std::system_error(-result, std::generic_category(), what);
}

json refusal(const std::string& error) {
    return {{"ok", false}, {"error", error}};
}

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        throw std::runtime_error(path + " is too long for a socket's path (" +
                                 std::to_string(sizeof address.sun_path - 1) + " bytes)");
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
}

Fd new_socket() {
    Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd)
        throw_errno("cannot make", "a socket");
    return fd;
}

// One that a killed stekd has left refuses connections. Only that one is removed.
void remove_stale(const std::string& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) {
        if (errno != ENOENT)
            throw_errno("cannot look at", path);
        return;
    }
    if (!S_ISSOCK(status.st_mode))
        throw std::runtime_error(path + " is there and is not a socket");
    const auto address = address_of(path);
    const auto probe = new_socket();
    if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
        errno == EAGAIN || errno == EINPROGRESS)
        throw std::runtime_error("somebody listens at " + path + " already, maybe another stekd");
    if (errno != ECONNREFUSED)
        throw_errno("cannot try", path);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
        throw_errno("cannot remove", path);
}

// The peer may hang up, and it may not read: neither must hold up the loop.
void send_reply(int fd, const json& reply) noexcept {
    try {
        auto text = reply.dump(-1, ' ', false, json::error_handler_t::replace);
        if (text.size() > longest_reply)
            text = refusal("the reply is too long").dump();
        static_cast<void>(::send(fd, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
    } catch (const std::exception& error) {
        log(LOG_ERR, std::string("no reply on the control socket: ") + error.what());
    }
    // Closed with something unread, the peer would get ECONNRESET in place of the reply.
    ::shutdown(fd, SHUT_RD);
    for (char rest = 0; ::recv(fd, &rest, sizeof rest, MSG_DONTWAIT) > 0;)
        continue;
}

}  // namespace

struct Control::Peer {
    Control* owner = nullptr;
    Peers::iterator self;
    Fd fd;
    ucred credentials{};
    std::uint64_t silent_until = 0;  // CLOCK_MONOTONIC, microseconds
    sd_event_source* source = nullptr;

    Peer() = default;
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;
    ~Peer() { sd_event_source_disable_unref(source); }
};

Control::Control(sd_event* loop, std::string path, Answer answer)
    : loop_(sd_event_ref(loop)), path_(std::move(path)), answer_(std::move(answer)) {
    try {
        listen();
    } catch (...) {
        sd_event_source_disable_unref(accepting_);
        sd_event_unref(loop_);
        throw;
    }
}

Control::~Control() {
    peers_.clear();
    sd_event_source_disable_unref(timer_);
    sd_event_source_disable_unref(accepting_);
    sd_event_unref(loop_);
    if (in_place())
        ::unlink(path_.c_str());
}

bool Control::in_place() const noexcept {
    struct stat status {};
    return ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
}

void Control::listen() {
    const auto address = address_of(path_);
    remove_stale(path_);
    listener_ = new_socket();
    // Before bind(): Linux makes the file with this mode, so there is no moment at which it is open to
    // others.
    if (::fchmod(listener_.get(), 0600) != 0 ||
        ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw_errno("cannot listen at", path_);
    struct stat status {};
    if (::lstat(path_.c_str(), &status) != 0 || ::listen(listener_.get(), SOMAXCONN) != 0)
        throw_errno("cannot listen at", path_);
    device_ = status.st_dev;
    inode_ = status.st_ino;
    must(sd_event_add_io(loop_, &accepting_, listener_.get(), EPOLLIN, on_connection, this),
         "control socket");
    must(sd_event_source_set_priority(accepting_, own_priority), "control socket");
}

void Control::accept_some() {
    for (int i = 0; i < most_accepted; ++i) {
        Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (fd) {
            welcome(std::move(fd));
            continue;
        }
        if (errno == EAGAIN)
            return;
        if (errno == ECONNABORTED || errno == EINTR)
            continue;
        if (!peers_.empty()) {  // out of descriptors, most likely
            dismiss(peers_.begin(), refusal("no more connections can be taken"));
            continue;
        }
        log(LOG_WARNING, std::string("the control socket rests for a while: ") + std::strerror(errno));
        must(sd_event_source_set_enabled(accepting_, SD_EVENT_OFF), "control socket");
        arm_timer();
        return;
    }
}

void Control::welcome(Fd fd) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
        return;
    if (credentials.uid != 0 && credentials.uid != ::geteuid()) {
        log(LOG_WARNING, "the control socket refused a process that is neither root's nor stekd's",
            {{"STEK_PEER_UID", std::to_string(credentials.uid)},
             {"STEK_PEER_PID", std::to_string(credentials.pid)}});
        send_reply(fd.get(), refusal("only root and stekd's own user may ask"));
        return;
    }
    if (peers_.size() >= most_peers) {
        auto reply = refusal("too many connections, and this one said nothing");
        reply["busy"] = true;
        if (!serve(peers_.begin()))
            dismiss(peers_.begin(), reply);
    }
    std::uint64_t now = 0;
    must(sd_event_now(loop_, CLOCK_MONOTONIC, &now), "sd_event_now");
    const auto peer = peers_.emplace(peers_.end());
    peer->owner = this;
    peer->self = peer;
    peer->fd = std::move(fd);
    peer->credentials = credentials;
    peer->silent_until = now + static_cast<std::uint64_t>(patience.count()) * microseconds;
    try {
        must(sd_event_add_io(loop_, &peer->source, peer->fd.get(), EPOLLIN, on_packet, &*peer), "control");
        must(sd_event_source_set_priority(peer->source, own_priority), "control");
        arm_timer();
    } catch (...) {
        peers_.erase(peer);
        throw;
    }
    serve(peer);
}

bool Control::serve(Peers::iterator peer) {
    std::array<char, longest_request> text;
    // MSG_TRUNC: the packet's own length, though no more than this of it comes.
    const auto length = ::recv(peer->fd.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (length <= 0) {
        peers_.erase(peer);
        return true;
    }
    if (static_cast<std::size_t>(length) > text.size()) {
        dismiss(peer, refusal("a request may have " + std::to_string(longest_request) + " bytes"));
        return true;
    }
    sd_event_source_set_enabled(peer->source, SD_EVENT_OFF);
    const std::string_view request(text.data(), static_cast<std::size_t>(length));
    dismiss(peer, reply_to(request, peer->credentials));
    return true;
}

json Control::reply_to(std::string_view text, const ucred& peer) const {
    try {
        const auto request = parse_request(text);
        if (!std::holds_alternative<AskStatus>(request))
            log(LOG_NOTICE, std::string("ordered to ") + in_words(request),
                {{"STEK_PEER_UID", std::to_string(peer.uid)}, {"STEK_PEER_PID", std::to_string(peer.pid)}});
        return answer_(request);
    } catch (const std::exception& error) {
        return refusal(error.what());
    }
}

void Control::dismiss(Peers::iterator peer, const json& reply) {
    send_reply(peer->fd.get(), reply);
    peers_.erase(peer);
}

// One timer for all: the first to come is the first to go.
void Control::arm_timer() {
    std::uint64_t at = 0;
    must(sd_event_now(loop_, CLOCK_MONOTONIC, &at), "sd_event_now");
    at = peers_.empty() ? at + microseconds : peers_.front().silent_until;
    if (timer_ == nullptr) {
        must(sd_event_add_time(loop_, &timer_, CLOCK_MONOTONIC, at, microseconds / 10, on_timer, this),
             "control timer");
        must(sd_event_source_set_priority(timer_, timer_priority), "control timer");
        return;
    }
    must(sd_event_source_set_time(timer_, at), "control timer");
    must(sd_event_source_set_enabled(timer_, SD_EVENT_ONESHOT), "control timer");
}

void Control::dismiss_the_silent() {
    std::uint64_t now = 0;
    must(sd_event_now(loop_, CLOCK_MONOTONIC, &now), "sd_event_now");
    while (!peers_.empty() && peers_.front().silent_until <= now)
        if (!serve(peers_.begin()))
            dismiss(peers_.begin(), refusal("no request came in " + std::to_string(patience.count()) + " s"));
    if (!peers_.empty())
        arm_timer();
    must(sd_event_source_set_enabled(accepting_, SD_EVENT_ON), "control socket");
}

namespace {

// What a peer does, or a full table of descriptors, must not end the loop.
template <class Work>
int shielded(const Work& work) noexcept {
    try {
        work();
    } catch (const std::exception& error) {
        log(LOG_ERR, std::string("control socket: ") + error.what());
    }
    return 0;
}

}  // namespace

int Control::on_connection(sd_event_source*, int, std::uint32_t, void* self) noexcept {
    return shielded([self] { static_cast<Control*>(self)->accept_some(); });
}

int Control::on_packet(sd_event_source*, int, std::uint32_t, void* peer) noexcept {
    return shielded([peer] {
        const auto* from = static_cast<Peer*>(peer);
        from->owner->serve(from->self);
    });
}

int Control::on_timer(sd_event_source*, std::uint64_t, void* self) noexcept {
    return shielded([self] { static_cast<Control*>(self)->dismiss_the_silent(); });
}

}  // namespace stek::daemon
