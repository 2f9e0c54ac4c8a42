// A party of a fleet on a thread of its own. It waits for the engine as stekd does, and runs when that wakes
// it.
#pragma once

#include "daemon/fleet/engine_watch.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <systemd/sd-event.h>

namespace stek::tests {

/// What all parties do, as one who waits for their rest sees it. Any thread.
class Pulse {
  public:
    void expect() noexcept { ++due_; }
    void end() noexcept { --due_; }
    /// Something was stored: others are woken by it.
    void note_stored() noexcept { last_ = std::chrono::steady_clock::now(); }
    void fail(const std::string& why);
    /// Until no order is left, and nothing was stored for a while that is longer than changes are gathered
    /// for. Those who look because it is time to, each once a minute, go on.
    void await_rest() const;
    /// What has failed since the last call; the first reason is told at once.
    [[nodiscard]] unsigned failures() noexcept { return failures_.exchange(0); }

  private:
    std::atomic<unsigned> due_{0}, failures_{0};
    std::atomic<std::chrono::steady_clock::time_point> last_{std::chrono::steady_clock::now()};
};

class WaitingParty {
  public:
    /// `engine` and whatever `run` needs outlive this object. Throws std::system_error.
    WaitingParty(Pulse& pulse, fleet::Engine& engine, std::vector<std::string> buckets,
                 std::function<void()> run);
    WaitingParty(const WaitingParty&) = delete;
    WaitingParty& operator=(const WaitingParty&) = delete;
    ~WaitingParty();

    /// Its first run, and from then on it waits.
    void start();
    /// In the party's thread, as soon as it is free; without a piece of work a run, as at an epoch's edge.
    void order(std::function<void()> piece = {});

  private:
    void wait();
    void attempt(const std::function<void()>& piece);
    void ring() const noexcept;
    static int on_order(sd_event_source*, int, std::uint32_t, void* self) noexcept;

    Pulse& pulse_;
    fleet::Engine& engine_;
    std::vector<std::string> buckets_;
    std::function<void()> run_;
    int bell_;
    std::mutex mutex_;
    std::vector<std::function<void()>> orders_;
    std::atomic<bool> ends_{false};
    sd_event* loop_ = nullptr;
    std::optional<fleet::EngineWatch> watch_;
    std::thread thread_;
};

}  // namespace stek::tests
