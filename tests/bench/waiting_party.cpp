#include "tests/bench/waiting_party.hpp"

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <system_error>
#include <unistd.h>

#include <sys/eventfd.h>

namespace stek::tests {
namespace {

using std::chrono::steady_clock;

/// Changes are gathered for 0.2 s (EngineWatch), and a busy machine is late.
constexpr auto rest = std::chrono::milliseconds(1000), between_looks = std::chrono::milliseconds(20);

}  // namespace

void Pulse::fail(const std::string& why) {
    if (failures_++ == 0)
        std::fprintf(stderr, "a run failed: %s\n", why.c_str());
}

void Pulse::await_rest() const {
    while (due_ != 0 || steady_clock::now() - last_.load() < rest)
        std::this_thread::sleep_for(between_looks);
}

WaitingParty::WaitingParty(Pulse& pulse, fleet::Engine& engine, std::vector<std::string> buckets,
                           std::function<void()> run)
    : pulse_(pulse),
      engine_(engine),
      buckets_(std::move(buckets)),
      run_(std::move(run)),
      bell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (bell_ < 0)
        throw std::system_error(errno, std::generic_category(), "eventfd");
}

WaitingParty::~WaitingParty() {
    ends_ = true;
    ring();
    if (thread_.joinable())
        thread_.join();
    ::close(bell_);
}

void WaitingParty::ring() const noexcept {
    const std::uint64_t one = 1;
    (void)!::write(bell_, &one, sizeof one);
}

void WaitingParty::start() {
    order();
    thread_ = std::thread([this] { wait(); });
}

void WaitingParty::order(std::function<void()> piece) {
    pulse_.expect();
    {
        const std::lock_guard lock(mutex_);
        orders_.push_back(piece ? std::move(piece) : run_);
    }
    ring();
}

void WaitingParty::wait() {
    if (sd_event_new(&loop_) < 0 || sd_event_add_io(loop_, nullptr, bell_, EPOLLIN, on_order, this) < 0)
        std::terminate();
    watch_.emplace(loop_, [this] { attempt(run_); });
    sd_event_loop(loop_);
    watch_.reset();
    sd_event_unref(loop_);
}

int WaitingParty::on_order(sd_event_source*, int, std::uint32_t, void* self) noexcept {
    auto& party = *static_cast<WaitingParty*>(self);
    std::uint64_t rung = 0;
    (void)!::read(party.bell_, &rung, sizeof rung);
    std::vector<std::function<void()>> orders;
    {
        const std::lock_guard lock(party.mutex_);
        orders.swap(party.orders_);
    }
    for (const auto& piece : orders) {
        party.attempt(piece);
        party.pulse_.end();
    }
    if (party.ends_)
        sd_event_exit(party.loop_, 0);
    return 0;
}

// What fails is tried again with the next change, as by stekd.
void WaitingParty::attempt(const std::function<void()>& piece) {
    try {
        piece();
    } catch (const std::exception& error) {
        pulse_.fail(error.what());
    }
    try {
        watch_->watch(engine_, buckets_);
    } catch (const std::exception& error) {
        pulse_.fail(error.what());
    }
}

}  // namespace stek::tests
