// A call that fails, or at which a process is killed: where a test wants a run to end.
#pragma once

#include <optional>

namespace stek::test {

struct Killed {};

class Trap {
  public:
    /// The call after that many throws Killed; that one only, or, as in a process that is dead, all after it.
    void fail_after(unsigned calls) { left_ = calls, kills_ = false; }
    void kill_after(unsigned calls) { left_ = calls, kills_ = true; }
    void remove() { left_.reset(), dead_ = false; }
    /// Whether it waits for its call.
    [[nodiscard]] bool is_set() const { return left_.has_value(); }

    /// In each call.
    void step() {
        if (dead_)
            throw Killed{};
        if (!left_ || (*left_)-- != 0)
            return;
        left_.reset();
        dead_ = kills_;
        throw Killed{};
    }

  private:
    std::optional<unsigned> left_;
    bool kills_ = false, dead_ = false;
};

}  // namespace stek::test
