// What NATS's threads tell the event loop.
#pragma once

#include "provider/file.hpp"

#include <atomic>

namespace stek::fleet {

/// Readable once it was rung. Any thread may ring; one waits.
class Bell {
  public:
    /// Throws EngineError: no descriptor to be had.
    Bell();
    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    void ring() noexcept;
    void quiet() noexcept;
    /// Whoever rang it is gone: it rings for the last time.
    void retire() noexcept;
    [[nodiscard]] bool is_retired() const noexcept { return retired_; }

  private:
    Fd fd_;
    std::atomic<bool> retired_{false};
};

}  // namespace stek::fleet
