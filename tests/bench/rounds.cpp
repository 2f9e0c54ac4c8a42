#include "tests/bench/rounds.hpp"

#include <ctime>
#include <utility>

namespace stek::tests {

namespace {

double thread_nanoseconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

}  // namespace

Measure by_cpu_time(std::function<void(unsigned count)> run) {
    return [run = std::move(run)](unsigned count) {
        const double begun = thread_nanoseconds();
        run(count);
        return (thread_nanoseconds() - begun) / count;
    };
}

void measure(std::vector<Contender>& contenders, unsigned rounds, unsigned count) {
    for (auto& each : contenders) {
        each.measure(count / 10 + 1);
    }
    for (unsigned round = 0; round < rounds; ++round) {
        for (std::size_t turn = 0; turn < contenders.size(); ++turn) {
            // Each round begins with another, or one would always run after the same neighbour.
            auto& each = contenders[(turn + round) % contenders.size()];
            each.nanoseconds.push_back(each.measure(count));
        }
    }
}

void tell_all(const std::string& title, const std::vector<Contender>& contenders) {
    const auto& yardstick = contenders.front().nanoseconds;
    for (const auto& each : contenders) {
        std::vector<double> microseconds;
        std::vector<double> ratios;
        for (std::size_t round = 0; round < yardstick.size(); ++round) {
            microseconds.push_back(each.nanoseconds[round] / 1e3);
            ratios.push_back(each.nanoseconds[round] / yardstick[round]);
        }
        Result result{.title = title,
                      .subject = each.name,
                      .unit = "us",
                      .figure = spread_of(microseconds),
                      .ratio = {},
                      .aim = each.aim};
        if (&each != &contenders.front()) {
            result.ratio = spread_of(ratios);
        }
        tell(result);
    }
}

}  // namespace stek::tests
