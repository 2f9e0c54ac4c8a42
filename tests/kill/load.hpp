// Clients that never rest, or not for long: each connection offers the last ticket that its thread got, of
// TLS 1.2 and 1.3 in turn.
#pragma once

#include "provider/key_ring.hpp"
#include "tests/fixtures/tls_client.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace stek::test {

using Clock = std::chrono::steady_clock;

/// One connection, from connect() to the end of the answer.
struct Handshake {
    Clock::time_point begun, ended;
    std::int64_t wall = 0;           ///< Unix seconds, at the beginning
    std::optional<KeyName> offered;  ///< the key that the offered ticket names
    bool ok = false, resumed = false;
    pid_t worker = 0;              ///< that served it; 0 if it is not known
    std::uint16_t local_port = 0;  ///< 0: the connection was refused
    std::string error;
};

class Load {
  public:
    /// `rest`: of each thread, after a connection of each version.
    Load(const Pki& pki, std::uint16_t port, unsigned threads,
         std::chrono::milliseconds rest = std::chrono::milliseconds(0));
    Load(const Load&) = delete;
    Load& operator=(const Load&) = delete;
    ~Load();  ///< ends the threads
    /// Those that have ended since the last call, in the order of their ends. Thread-safe.
    std::vector<Handshake> take();

  private:
    void work(const std::stop_token& stop, const Pki& pki, std::uint16_t port);
    std::chrono::milliseconds rest_;
    std::mutex mutex_;
    std::vector<Handshake> done_;
    std::vector<std::jthread> threads_;  // last: they use the others
};

}  // namespace stek::test
