#include "provider/call_gate.hpp"

#include <algorithm>
#include <thread>

namespace stek {

std::shared_ptr<CallGate::Slot> CallGate::make_slot() {
    auto slot = std::make_shared<Slot>();
    const std::lock_guard lock(mutex_);
    std::erase_if(slots_, [](const auto& known) { return known.expired(); });
    slots_.push_back(slot);
    return slot;
}

bool CallGate::wait_until_open(std::chrono::steady_clock::time_point deadline) const noexcept {
    while (closed_.load()) {
        if (shut_.load() || std::chrono::steady_clock::now() >= deadline) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return true;
}

bool CallGate::close(const Slot& own, std::chrono::milliseconds limit) {
    closed_.store(true);
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (;;) {
        bool empty = true;
        {
            const std::lock_guard lock(mutex_);
            empty = std::ranges::none_of(slots_, [&](const auto& known) {
                const auto slot = known.lock();
                return slot && slot.get() != &own && slot->inside.load();
            });
        }
        if (empty) {
            return true;
        }
        if (std::chrono::steady_clock::now() >= deadline) {
            open();
            return false;
        }
        std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
}

}  // namespace stek
