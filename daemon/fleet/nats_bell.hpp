// What NATS's threads tell the event loop.
#pragma once

#include "provider/file.hpp"

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace stek::fleet {

/// What a bucket's stream tells of something that it has stored.
struct NatsChange {
    std::string subject;  ///< the value's
    std::uint64_t sequence = 0;
    bool is_erased = false;
};

/// Readable once it was rung. Any thread may ring; one waits.
class Bell {
  public:
    /// Throws EngineError: no descriptor to be had.
    Bell();
    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    /// Changes may have been missed.
    void ring() noexcept;
    void ring_for(NatsChange change) noexcept;
    struct Heard {
        std::vector<NatsChange> changes;
        bool is_all = true;
    };
    /// What it was rung for since.
    Heard quiet() noexcept;
    /// Whoever rang it is gone: it rings for the last time.
    void retire() noexcept;
    [[nodiscard]] bool is_retired() const noexcept { return retired_; }

  private:
    void wake() noexcept;

    Fd fd_;
    std::mutex mutex_;
    Heard heard_;
    std::atomic<bool> retired_{false};
};

}  // namespace stek::fleet
