// stekd as a service: the event loop around its work.
#pragma once

#include "daemon/control.hpp"
#include "daemon/hang_watch.hpp"
#include "daemon/loss_watch.hpp"
#include "daemon/metrics_file.hpp"
#include "daemon/work.hpp"
#include "provider/file.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <systemd/sd-event.h>

namespace stek::daemon {

class Service {
  public:
    /// Throws what `make` throws, std::system_error.
    explicit Service(const MakeWork& make);
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;
    ~Service();

    /// Runs until SIGTERM or SIGINT, or until something is wrong that waiting does not heal. Returns the exit
    /// code.
    int run();

    /// As of now.
    [[nodiscard]] Health health() const;

  private:
    void watch_wall_clock();
    void tell_status();
    void turn() {
        attempt([this] { return work_->run(); });
    }
    /// Does it, sets the timers and keeps account. Returns what went wrong; empty: nothing.
    std::string attempt(const std::function<Work::Next()>& work);
    Work::Next watched(const std::function<Work::Next()>& work);
    void watch_for_losses();
    /// A control socket for a configuration that is not in force yet. Throws as Control does.
    std::unique_ptr<Control> listen_at(const std::string& path);
    void hear_by(std::unique_ptr<Control> control);
    void hear_in_trouble();
    nlohmann::json answer(const Request& request);
    void rest_until(const Work::Next& next);
    void say_ready();
    void retry_later(const std::string& why);
    void give_up(int code, const std::string& why);
    void arm(sd_event_source*& source, clockid_t clock, std::uint64_t usec);
    void reload();
    void fold_counters() const;

    template <typename Work>
    static int shielded(void* self, const Work& work) noexcept;
    static int on_wall_clock(sd_event_source*, int fd, std::uint32_t, void* self) noexcept;
    static int on_minute(sd_event_source*, std::uint64_t, void* self) noexcept;
    static int on_timer(sd_event_source*, std::uint64_t, void* self) noexcept;
    static int on_reload(sd_event_source*, const signalfd_siginfo*, void* self) noexcept;
    static int on_stop(sd_event_source*, const signalfd_siginfo*, void* self) noexcept;

    std::unique_ptr<HangWatch> hang_watch_;  ///< goes last: closing the tokens may hang as well
    std::unique_ptr<Work> work_;
    sd_event* loop_ = nullptr;
    sd_event_source* destruction_ = nullptr;
    sd_event_source* retry_ = nullptr;
    sd_event_source* minute_ = nullptr;  ///< STATUS= counts down
    Fd wall_clock_;  ///< a timerfd of its own: sd_event_add_time() does not tell when the clock was set
    std::unique_ptr<LossWatch> loss_watch_;
    std::unique_ptr<Control> control_;
    bool answering_ = false;
    std::unique_ptr<MetricsWriter> metrics_;
    Health health_;  ///< what the work does not know of it
    std::chrono::seconds back_off_{0};
    std::string last_trouble_;
    /// Tokens may have been closed for it: what keeps them from being opened again (a PIN file that is wrong
    /// by now) does not end a stekd that was well, whose ring is in place. A refused PIN is not tried twice
    /// all the same.
    bool reload_failed_ = false;
};

/// `stekd --once`: does what is due. Returns the exit code.
int run_once(const MakeWork& make);

/// The exit code for what Work::run() threw, and whether waiting may heal it. To be called within a catch
/// clause.
struct Failure {
    int exit_code;
    bool passing;
    std::string what;
};
Failure current_failure() noexcept;

}  // namespace stek::daemon
