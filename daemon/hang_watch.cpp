#include "daemon/hang_watch.hpp"

#include "daemon/exit_codes.hpp"
#include "daemon/log.hpp"

#include <csignal>
#include <string>
#include <unistd.h>

#include <systemd/sd-daemon.h>

namespace stek::daemon {
namespace {

using namespace std::literals;

// An RSA pair takes up to 2 s to make, several times that on a busy machine. The unit's watchdog strikes
// after 30 s.
constexpr auto first_said = 10s, error_from = 20s, patience = 5s;

bool asked_to_end() {
    sigset_t pending;
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

}  // namespace

HangWatch::HangWatch() : thread_([this] { watch(); }) {}

HangWatch::~HangWatch() {
    {
        const std::lock_guard lock(mutex_);
        over_ = true;
    }
    changed_.notify_one();
    thread_.join();
}

void HangWatch::begin() {
    const std::lock_guard lock(mutex_);
    time(Awaited::token);
    asked_.reset();
    changed_.notify_one();
}

void HangWatch::progress(Awaited what) {
    const std::lock_guard lock(mutex_);
    if (since_)
        time(what);
}

void HangWatch::time(Awaited what) {
    since_ = Clock::now();
    awaited_ = what;
    say_at_ = first_said;
}

void HangWatch::end() {
    const std::lock_guard lock(mutex_);
    since_.reset();
    changed_.notify_one();
}

void HangWatch::last_work() {
    begin();
    const std::lock_guard lock(mutex_);
    asked_ = since_;
}

void HangWatch::watch() {
    std::unique_lock lock(mutex_);
    while (!over_) {
        if (!since_) {
            changed_.wait(lock);
            continue;
        }
        const auto begun = *since_;
        changed_.wait_for(lock, 1s);
        if (!over_ && since_ == begun)
            look(std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - begun));
    }
}

void HangWatch::look(std::chrono::seconds hung) {
    const auto text =
        (awaited_ == Awaited::token ? "a token call has hung for "s : "a call of the engine has hung for "s) +
        std::to_string(hung.count()) + " s";
    if (hung >= say_at_) {
        log(hung < error_from ? LOG_WARNING : LOG_ERR, text, {{"STEK_HUNG_S", std::to_string(hung.count())}});
        sd_notify(0, ("STATUS=" + text).c_str());
        say_at_ *= 2;
    }
    if (!asked_ && asked_to_end())
        asked_ = Clock::now();
    if (!asked_ || Clock::now() - *asked_ < patience)
        return;
    log(LOG_ERR, text + ": asked to end, stekd does not wait for it");
    ::_exit(exit_temporary);
}

}  // namespace stek::daemon
