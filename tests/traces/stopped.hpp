// A process that does not change while it is searched.
#pragma once

#include "tests/fixtures/process.hpp"

#include <csignal>

namespace stek::traces {

/// It stands still meanwhile.
class Stopped {
  public:
    explicit Stopped(const test::Process& process) : process_(process) { process_.signal(SIGSTOP); }
    Stopped(const Stopped&) = delete;
    Stopped& operator=(const Stopped&) = delete;
    ~Stopped() { process_.signal(SIGCONT); }

  private:
    const test::Process& process_;
};

}  // namespace stek::traces
