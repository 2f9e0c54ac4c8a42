// Runs a program under ptrace and kills it at a chosen stop. Only system calls that change files are stopped
// at (all others leave things as they are, so that a kill there is one between two of these), each of them
// twice: at its entry, when nothing of it is done yet, and at its exit, when all of it is.
#pragma once

#include "tests/fixtures/process.hpp"

#include <functional>
#include <string>

namespace stek::test {

struct KillPoint {
    /// Stops count from the first openat(2) that may create a file, and this one.
    std::function<bool(const std::string& path)> from;
    unsigned stop = 1;  ///< the first is 1
};

struct TracedRun {
    bool killed = false;      ///< else it came to its end before
    std::string where;        ///< of the kill: "rename, entry"
    int exit_code = -1;       ///< if it came to its end
    unsigned long calls = 0;  ///< of all kinds, that it made since the count began
    std::string output;
};

/// Follows the thread that the program begins with; SIGKILL takes others along.
TracedRun run_traced(const Arguments& argv, const Environment& environment, const KillPoint& point);

}  // namespace stek::test
