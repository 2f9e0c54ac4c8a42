#include "daemon/beside.hpp"

#include "provider/no_signals.hpp"

#include <system_error>
#include <utility>

namespace stek::daemon {

Beside::Beside(std::size_t count, std::function<void(std::size_t)> task)
    : task_(std::move(task)), thrown_(count) {
    const NoSignals none;
    try {
        thread_ = std::thread([this] { work(); });
    } catch (const std::system_error&) {
        // As slow as without one.
    }
}

Beside::~Beside() {
    is_over_ = true;
    if (thread_.joinable())
        thread_.join();
}

void Beside::work() noexcept {
    for (std::size_t number = 0; number < thrown_.size() && !is_over_; ++number) {
        try {
            task_(number);
        } catch (...) {
            thrown_[number] = std::current_exception();
        }
        done_ = number + 1;
        done_.notify_one();
    }
}

void Beside::wait_for(std::size_t number) {
    if (!thread_.joinable()) {
        task_(number);
        return;
    }
    for (auto done = done_.load(); done <= number; done = done_.load())
        done_.wait(done);
    if (thrown_.at(number))
        std::rethrow_exception(std::exchange(thrown_[number], nullptr));
}

}  // namespace stek::daemon
