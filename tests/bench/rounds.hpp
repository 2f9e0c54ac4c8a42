// Yardstick and subjects measured in turns, so that what disturbs the machine disturbs all of them alike.
#pragma once

#include "tests/bench/results.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace stek::tests {

/// Measures the thing done so many times: nanoseconds per thing. Throws if it did not work: a failure is not
/// fast.
using Measure = std::function<double(unsigned count)>;

struct Contender {
    std::string name;
    Measure measure;
    std::optional<double> aim = {};        ///< times what the yardstick takes, at most
    std::vector<double> nanoseconds = {};  ///< one figure a round
};

/// By the CPU time of the calling thread: wall time would measure the neighbours too.
Measure by_cpu_time(std::function<void(unsigned count)> run);

/// The first contender is the yardstick.
void measure(std::vector<Contender>& contenders, unsigned rounds, unsigned count);

/// tell() for each, in microseconds: its figures, and round by round times what the yardstick took.
void tell_all(const std::string& title, const std::vector<Contender>& contenders);

}  // namespace stek::tests
