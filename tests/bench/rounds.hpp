// Yardstick and subjects measured in turns, so that what disturbs the machine disturbs all of them alike.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace stek::tests {

/// Measures the thing done so many times: nanoseconds per thing. Throws if it did not work: a failure is not
/// fast.
using Measure = std::function<double(unsigned count)>;

struct Contender {
    std::string name;
    Measure measure;
    std::vector<double> nanoseconds = {};  ///< one figure a round
};

/// By the CPU time of the calling thread: wall time would measure the neighbours too.
Measure by_cpu_time(std::function<void(unsigned count)> run);

struct Spread {
    double median, least, most;
};
Spread spread_of(std::vector<double> figures);

/// The first contender is the yardstick.
void measure(std::vector<Contender>& contenders, unsigned rounds, unsigned count);

/// A line for each: the median and spread of its figures, and of the yardstick's rate over its own, round by
/// round (1.00: as fast; 0.90: nine tenths of the speed).
void print(const std::string& title, const std::vector<Contender>& contenders);

}  // namespace stek::tests
