// Notices a piece of work that hangs: PKCS#11 has no time limits, and SoftHSM waits for ever for a file lock
// that anybody with read access to the token's files can hold. A disk or a network may be slow.
#pragma once

#include "daemon/progress.hpp"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

namespace stek::daemon {

/// A thread of its own, which sleeps while nothing is at work. It says how long a call has hung, as a
/// warning first, for a busy machine may take that long; and ends the process when SIGTERM or SIGINT, which
/// the loop then cannot take, stay pending meanwhile. Such an end is a kill: the next start goes on from
/// there.
class HangWatch {
  public:
    /// SIGTERM and SIGINT must be blocked already, in every thread.
    HangWatch();
    HangWatch(const HangWatch&) = delete;
    HangWatch& operator=(const HangWatch&) = delete;
    ~HangWatch();

    /// The work that may hang, for this object's life. One at a time.
    class Work {
      public:
        explicit Work(HangWatch& watch) : watch_(watch) { watch_.begin(); }
        Work(const Work&) = delete;
        Work& operator=(const Work&) = delete;
        ~Work() { watch_.end(); }

      private:
        HangWatch& watch_;
    };
    /// The work goes on: what is timed is what comes now. Outside of Work nothing is.
    void progress(Awaited what);
    /// The program ends: what is left of it must not hang either. No Work after it.
    void last_work();

  private:
    using Clock = std::chrono::steady_clock;
    void begin();
    void time(Awaited what);
    void end();
    void watch();
    void look(std::chrono::seconds hung);

    std::mutex mutex_;
    std::condition_variable changed_;
    std::optional<Clock::time_point> since_;  ///< when the work began
    std::optional<Clock::time_point> asked_;  ///< when the process was first seen to be asked to end
    Awaited awaited_ = Awaited::token;
    std::chrono::seconds say_at_{0};
    bool over_ = false;
    std::thread thread_;
};

}  // namespace stek::daemon
