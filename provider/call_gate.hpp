// Lets many threads call into a module without a shared lock, and lets one of them close the door to
// initialise it anew.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <vector>

namespace stek {

/// Each thread marks its own slot while it is inside; close() shuts the door, then waits for the slots to
/// empty. enter() is two atomic operations on the thread's own cache line and one read of a shared one that
/// seldom changes.
class CallGate {
  public:
    /// One thread's slot: kept by the thread, also known to the gate.
    struct alignas(64) Slot {
        std::atomic<bool> inside{false};
    };
    std::shared_ptr<Slot> make_slot();

    /// False while the gate is closed: do not call.
    [[nodiscard]] bool enter(Slot& slot) const noexcept {
        slot.inside.store(true);  // sequentially consistent, as is the load: either we see the door closed,
                                  // or close() sees us
        if (!closed_.load()) {
            return true;
        }
        slot.inside.store(false, std::memory_order_release);
        return false;
    }
    static void leave(Slot& slot) noexcept { slot.inside.store(false, std::memory_order_release); }
    /// Waits while the gate is closed. False if it is shut, or still closed at `deadline`.
    [[nodiscard]] bool wait_until_open(std::chrono::steady_clock::time_point deadline) const noexcept;
    /// Leaves at the end of its scope.
    struct Leaving {
        Slot& slot;
        ~Leaving() { leave(slot); }
    };

    /// Shuts the gate and waits until every thread but `own` has left. False (and the gate is open again)
    /// after `limit`.
    bool close(const Slot& own, std::chrono::milliseconds limit);
    void open() noexcept {
        closed_.store(false);
        if (shut_.load()) {  // in this order: whoever shuts it in between is not undone
            closed_.store(true);
        }
    }
    /// Shuts it for good, waiting for nobody.
    void shut() noexcept {
        shut_.store(true);
        closed_.store(true);
    }

  private:
    std::atomic<bool> closed_{false};
    std::atomic<bool> shut_{false};
    std::mutex mutex_;
    std::vector<std::weak_ptr<Slot>> slots_;
};

}  // namespace stek
