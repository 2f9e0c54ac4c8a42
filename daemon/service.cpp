#include "daemon/service.hpp"

#include "daemon/clocks.hpp"
#include "daemon/exit_codes.hpp"
#include "daemon/log.hpp"
#include "provider/counters.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <system_error>

#include <sys/timerfd.h>
#include <systemd/sd-daemon.h>

namespace stek::daemon {
namespace {

using namespace std::chrono_literals;

constexpr auto first_retry = 1s, longest_retry = 60s;
constexpr std::uint64_t second = 1'000'000;  // in microseconds

void must(int result, const char* what) {
    if (result < 0)
        throw std::system_error(-result, std::generic_category(), what);
}

void block_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP})
        sigaddset(&set, signal);
    must(-pthread_sigmask(SIG_BLOCK, &set, nullptr), "pthread_sigmask");
}

}  // namespace

Service::Service(const MakeWork& make) : work_(make([this](Awaited what) { hang_watch_->progress(what); })) {
    block_signals();
    hang_watch_ = std::make_unique<HangWatch>();
    must(sd_event_default(&loop_), "sd_event_default");
    must(sd_event_add_signal(loop_, nullptr, SIGTERM, on_stop, this), "SIGTERM");
    must(sd_event_add_signal(loop_, nullptr, SIGINT, on_stop, this), "SIGINT");
    must(sd_event_add_signal(loop_, nullptr, SIGHUP, on_reload, this), "SIGHUP");
    must(sd_event_set_watchdog(loop_, 1), "watchdog");
    watch_wall_clock();
    health_.started_at = read_clocks().wall;
    metrics_ = std::make_unique<MetricsWriter>(
        loop_, [this]() -> const Config& { return work_->config(); }, [this] { return health(); });
    loss_watch_ = std::make_unique<LossWatch>(loop_, [this](const std::string& file) {
        log(LOG_WARNING,
            "somebody removed " + (file == work_->config().keyring ? "or overwrote the key ring" : file));
        turn();
    });
    work_->listen(loop_, [this] { turn(); });
}

Service::~Service() {
    loss_watch_.reset();
    control_.reset();
    metrics_.reset();
    sd_event_source_unref(destruction_);
    sd_event_source_unref(retry_);
    sd_event_source_unref(minute_);
    sd_event_unref(loop_);
}

void Service::watch_wall_clock() {
    wall_clock_ = Fd(::timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC));
    if (!wall_clock_)
        must(-errno, "timerfd_create");
    must(sd_event_add_io(loop_, nullptr, wall_clock_.get(), EPOLLIN, on_wall_clock, this), "wall clock");
}

int Service::run() {
    turn();
    int code = exit_ok;
    if (sd_event_get_state(loop_) != SD_EVENT_FINISHED)
        code = sd_event_loop(loop_);
    hang_watch_->last_work();
    sd_notify(0, "STOPPING=1");
    if (code < 0)
        must(code, "sd_event_loop");
    return code;
}

std::string Service::attempt(const std::function<Work::Next()>& work) {
    // Orders may wait behind the one that met a refused PIN: it is not tried again.
    if (int code = 0; sd_event_get_exit_code(loop_, &code) >= 0)
        return health_.trouble.empty() ? "stekd ends" : health_.trouble;
    try {
        const auto next = watched(work);
        health_.next_edge = next.edge;
        rest_until(next);
        hear_by(listen_at(work_->config().control));  // keys come first
        if (!last_trouble_.empty())
            log(LOG_NOTICE, "all is well again");
        last_trouble_.clear();
        reload_failed_ = false;
        health_.trouble.clear();
        back_off_ = 0s;
        watch_for_losses();
        fold_counters();
        metrics_->write();
        return {};
    } catch (...) {
        const auto failure = current_failure();
        ++health_.failures;
        health_.trouble = failure.what;
        if (failure.passing || reload_failed_) {
            retry_later(failure.what);
            hear_in_trouble();
            if (work_->is_ready_all_the_same())
                say_ready();
        } else
            give_up(failure.exit_code, failure.what);
        watch_for_losses();  // what was put in place before it failed is our own work
        metrics_->write();
        return failure.what;
    }
}

Work::Next Service::watched(const std::function<Work::Next()>& work) {
    const HangWatch::Work token_calls(*hang_watch_);
    return work();
}

void Service::watch_for_losses() {
    try {
        loss_watch_->watch(work_->must_stay());
    } catch (const std::system_error& error) {
        log(LOG_WARNING, std::string("losses are noticed at the next epoch only: ") + error.what());
    }
}

void Service::rest_until(const Work::Next& next) {
    itimerspec at{};
    at.it_value.tv_sec = std::max<std::int64_t>(next.edge, 1);
    if (::timerfd_settime(wall_clock_.get(), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &at, nullptr) != 0)
        must(-errno, "timerfd_settime");
    if (next.destruction)
        arm(destruction_, CLOCK_BOOTTIME, *next.destruction * second);
    if (retry_ != nullptr)
        sd_event_source_set_enabled(retry_, SD_EVENT_OFF);

    tell_status();
    say_ready();
}

void Service::say_ready() {
    if (!health_.ready) {
        log(LOG_NOTICE, "ready: " + work_->what_is_ready(),
            {{"STEK_LOCATION", work_->config().location}, {"STEK_KEYRING", work_->config().keyring}});
        sd_notify(0, "READY=1");
    }
    health_.ready = true;
}

void Service::tell_status() {
    if (sd_notify(0, ("STATUS=" + work_->headline()).c_str()) <= 0)
        return;  // nobody listens: no wake-ups either
    std::uint64_t now = 0;
    must(sd_event_now(loop_, CLOCK_MONOTONIC, &now), "sd_event_now");
    const auto next = now + 60 * second;
    if (minute_ == nullptr) {
        must(sd_event_add_time(loop_, &minute_, CLOCK_MONOTONIC, next, 20 * second, on_minute, this),
             "timer");
        return;
    }
    must(sd_event_source_set_time(minute_, next), "timer");
    must(sd_event_source_set_enabled(minute_, SD_EVENT_ONESHOT), "timer");
}

void Service::retry_later(const std::string& why) {
    // Not for longer than an epoch: the keys made ahead are not many.
    const std::chrono::seconds epoch(work_->config().policy.period);
    back_off_ =
        back_off_ == 0s ? first_retry : std::min<std::chrono::seconds>({back_off_ * 2, longest_retry, epoch});
    if (why != last_trouble_)
        log(LOG_ERR, why + "; trying again", {{"STEK_RETRY_S", std::to_string(back_off_.count())}});
    last_trouble_ = why;
    if (minute_ != nullptr)
        sd_event_source_set_enabled(minute_, SD_EVENT_OFF);
    sd_notify(0, ("STATUS=" + why + "; trying again").c_str());
    std::uint64_t now = 0;
    must(sd_event_now(loop_, CLOCK_BOOTTIME, &now), "sd_event_now");
    arm(retry_, CLOCK_BOOTTIME, now + static_cast<std::uint64_t>(back_off_.count()) * second);
}

void Service::give_up(int code, const std::string& why) {
    log(LOG_ERR, why);
    sd_notify(0, ("STATUS=" + why).c_str());
    sd_event_exit(loop_, code);
}

void Service::arm(sd_event_source*& source, clockid_t clock, std::uint64_t usec) {
    if (source == nullptr) {
        must(sd_event_add_time(loop_, &source, clock, usec, second / 10, on_timer, this), "timer");
        return;
    }
    must(sd_event_source_set_time(source, usec), "timer");
    must(sd_event_source_set_enabled(source, SD_EVENT_ONESHOT), "timer");
}

void Service::reload() {
    // Ready it is with a ring only: a reload does not make it so.
    if (health_.ready)
        sd_notify(0, "RELOADING=1");
    try {
        // Made before anything is changed: what may fail leaves the old configuration whole.
        std::unique_ptr<Control> control;
        const auto accept = [&](const Config& config) { control = listen_at(config.control); };
        watched([&] { return work_->reload(accept); });
        hear_by(std::move(control));
        log(LOG_NOTICE, "configuration read anew");
    } catch (...) {
        log(LOG_ERR, "the old configuration stays: " + current_failure().what);
        reload_failed_ = true;
    }
    if (health_.ready)
        sd_notify(0, "READY=1");
    turn();
}

// Dead processes' counters are added up now and then, so that their files do not pile up.
void Service::fold_counters() const {
    const auto& directory = work_->config().stats;
    try {
        if (!directory.empty())
            static_cast<void>(collect_counters(directory, true));
    } catch (const std::system_error& error) {
        log(LOG_WARNING, error.what());
    }
}

// sd-event is C: what gets this far (no memory for a timer, say) ends the loop, and systemd starts stekd
// anew.
template <typename Work>
int Service::shielded(void* self, const Work& work) noexcept {
    auto* service = static_cast<Service*>(self);
    try {
        work(*service);
    } catch (...) {
        sd_event_exit(service->loop_, exit_software);
    }
    return 0;
}

int Service::on_wall_clock(sd_event_source*, int fd, std::uint32_t, void* self) noexcept {
    return shielded(self, [fd](Service& service) {
        std::uint64_t expirations = 0;
        if (::read(fd, &expirations, sizeof expirations) < 0 && errno == ECANCELED)
            log(LOG_NOTICE, "the clock was set");
        service.turn();
    });
}

int Service::on_minute(sd_event_source*, std::uint64_t, void* self) noexcept {
    return shielded(self, [](Service& service) { service.tell_status(); });
}

int Service::on_timer(sd_event_source*, std::uint64_t, void* self) noexcept {
    return shielded(self, [](Service& service) { service.turn(); });
}

int Service::on_reload(sd_event_source*, const signalfd_siginfo*, void* self) noexcept {
    return shielded(self, [](Service& service) { service.reload(); });
}

int Service::on_stop(sd_event_source*, const signalfd_siginfo*, void* self) noexcept {
    sd_event_exit(static_cast<Service*>(self)->loop_, exit_ok);
    return 0;
}

int run_once(const MakeWork& make) {
    try {
        make({})->run();
        return exit_ok;
    } catch (...) {
        const auto failure = current_failure();
        log(LOG_ERR, failure.what);
        return failure.exit_code;
    }
}

}  // namespace stek::daemon
