// The control socket, on the service's event loop. Protocol and JSON are described in control_client.hpp.
#pragma once

#include "daemon/request.hpp"
#include "provider/file.hpp"

#include <chrono>
#include <functional>
#include <list>
#include <string>

#include <nlohmann/json_fwd.hpp>
#include <sys/socket.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

namespace stek::daemon {

/// Listens, reads one request a connection, answers, hangs up. All in the loop's thread; no call of its own
/// waits. While `answer` works, others wait in the kernel's queue.
class Control {
  public:
    /// Gives the reply; what it throws becomes {"ok": false, "error": ...}.
    using Answer = std::function<nlohmann::json(const Request&)>;

    /// Connections held at once. One more, and the one that has been silent the longest is sent away: who
    /// means it has sent the request with the connection.
    static constexpr std::size_t most_peers = 64;
    static constexpr std::chrono::seconds patience{3};  ///< for a peer that says nothing

    /// Makes the socket, 0600; one that nobody listens at is replaced. Throws std::runtime_error if somebody
    /// does, or if something else is at `path`; std::system_error.
    Control(sd_event* loop, std::string path, Answer answer);
    Control(const Control&) = delete;
    Control& operator=(const Control&) = delete;
    /// Removes the socket, if it is still this one's.
    ~Control();

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    /// Whether the socket at path() is this one's: somebody may have removed it.
    [[nodiscard]] bool in_place() const noexcept;

  private:
    struct Peer;
    using Peers = std::list<Peer>;  // the oldest first

    void listen();
    void accept_some();
    void welcome(Fd fd);
    bool serve(Peers::iterator peer);  ///< whether it is gone then, answered or not
    [[nodiscard]] nlohmann::json reply_to(std::string_view text, const ucred& peer) const;
    void dismiss(Peers::iterator peer, const nlohmann::json& reply);
    void arm_timer();
    void dismiss_the_silent();

    static int on_connection(sd_event_source*, int, std::uint32_t, void* self) noexcept;
    static int on_packet(sd_event_source*, int, std::uint32_t, void* peer) noexcept;
    static int on_timer(sd_event_source*, std::uint64_t, void* self) noexcept;

    sd_event* loop_;
    std::string path_;
    Answer answer_;
    Fd listener_;
    dev_t device_ = 0;
    ino_t inode_ = 0;
    sd_event_source* accepting_ = nullptr;
    sd_event_source* timer_ = nullptr;
    Peers peers_;
};

}  // namespace stek::daemon
