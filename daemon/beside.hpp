// A row of tasks that a second thread does, while the first goes on with what they give.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

namespace stek::daemon {

/// For tasks that only compute: they are done in their order, each once. Where no thread can be started, they
/// are done by who waits for them. The thread takes no signals.
class Beside {
  public:
    /// Begins with task(0) of `count`. `task` is called from the other thread.
    Beside(std::size_t count, std::function<void(std::size_t)> task);
    Beside(const Beside&) = delete;
    Beside& operator=(const Beside&) = delete;
    /// Waits for the task that is being done; what comes after it is not done.
    ~Beside();

    /// Until that task is done. What it threw is thrown here. From one thread, in the tasks' order, each
    /// once.
    void wait_for(std::size_t number);

  private:
    void work() noexcept;

    std::function<void(std::size_t)> task_;
    std::vector<std::exception_ptr> thrown_;
    std::atomic<std::size_t> done_{0};
    std::atomic<bool> is_over_{false};
    std::thread thread_;
};

}  // namespace stek::daemon
