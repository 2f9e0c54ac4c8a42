// kill -9 of server processes under load, and which clients they take along: a connection that breaks is
// forgiven only if it is one of these.
#pragma once

#include "tests/kill/load.hpp"

#include <set>
#include <vector>

namespace stek::test {

class Casualties {
  public:
    /// Stops the processes, notes whose connections to `port` they hold, then kills them. Returns the moment.
    Clock::time_point kill_workers(const std::vector<pid_t>& pids, std::uint16_t port);
    /// From `killed` on nobody served at all, until now.
    void nobody_served_since(Clock::time_point killed);

    /// Whether a failed connection was served by a process that was killed meanwhile, or by none.
    [[nodiscard]] bool forgive(const Handshake& failed) const;

  private:
    /// Within a moment or a span of time, and of these client ports if any are named.
    struct Loss {
        Clock::time_point begun, ended;
        bool whoever;
        std::set<std::uint16_t> client_ports;
    };
    std::vector<Loss> losses_;
};

}  // namespace stek::test
