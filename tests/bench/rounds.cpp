#include "tests/bench/rounds.hpp"

#include <algorithm>
#include <cstdio>
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

Spread spread_of(std::vector<double> figures) {
    std::ranges::sort(figures);
    const auto middle = figures.size() / 2;
    const double median =
        figures.size() % 2 == 1 ? figures[middle] : (figures[middle - 1] + figures[middle]) / 2;
    return {median, figures.front(), figures.back()};
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

void print(const std::string& title, const std::vector<Contender>& contenders) {
    std::printf("%s\n", title.c_str());
    const auto& yardstick = contenders.front().nanoseconds;
    for (const auto& each : contenders) {
        std::vector<double> ratios;
        for (std::size_t round = 0; round < yardstick.size(); ++round) {
            ratios.push_back(yardstick[round] / each.nanoseconds[round]);
        }
        const auto time = spread_of(each.nanoseconds);
        const auto ratio = spread_of(ratios);
        std::printf("  %-44s %9.0f ns (%.0f..%.0f)   ratio %.3f (%.3f..%.3f)\n", each.name.c_str(),
                    time.median, time.least, time.most, ratio.median, ratio.least, ratio.most);
    }
    std::fflush(stdout);
}

}  // namespace stek::tests
