// How long a ticket operation holds up a handshake: wall time, percentiles; under keys of an hour, and across
// 100 rotations of keys of a second. Aim: at a rotation, p99 at most 1.5 of steady.
//
// A worker at a steady pace: 2000 times a second it opens a ticket and seals one. Ten turns of each kind;
// a turn's percentiles are compared with those of the turn beside it.
#include "tests/bench/libssl_tickets.hpp"
#include "tests/bench/results.hpp"
#include "tests/bench/side.hpp"
#include "tests/fixtures/instance.hpp"
#include "tests/fixtures/workspace.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <stdexcept>
#include <thread>

#include <sys/mman.h>

using namespace stek;
using namespace stek::tests;
using test::Instance;

namespace {

constexpr unsigned turns = 10;
constexpr unsigned edges_per_turn = 10;
constexpr unsigned steady_seconds = 4;
constexpr unsigned pace = 2000;                                 ///< times a second
constexpr unsigned most_samples = pace * (edges_per_turn + 1);  ///< of a turn
constexpr double near_an_edge = 0.1;                            ///< seconds, on either side
constexpr double aim = 1.5;

struct Sample {
    double at;  ///< Unix seconds
    float opening_us, sealing_us;
};

/// Written by a side, read by the parent after each turn.
class Samples {
  public:
    Samples() : memory_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
        if (memory_ == MAP_FAILED) {
            throw std::runtime_error("no shared memory");
        }
    }
    Samples(const Samples&) = delete;
    Samples& operator=(const Samples&) = delete;
    ~Samples() { ::munmap(memory_, bytes); }
    [[nodiscard]] Sample* data() const noexcept { return static_cast<Sample*>(memory_); }

  private:
    static constexpr std::size_t bytes = sizeof(Sample) * most_samples;
    void* memory_;
};

double unix_now() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

double microseconds_of(const std::function<void()>& work) {
    const auto begun = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begun).count();
}

/// Answers with the number of samples that it has taken in so many seconds.
Side::Answer worker(const std::string& conf, const Samples& samples) {
    const auto tickets = std::make_shared<LibsslTickets>(conf);
    return [=, out = samples.data()](unsigned seconds) {
        auto ticket = tickets->seal();
        auto next = std::chrono::steady_clock::now();
        const auto end = next + std::chrono::seconds(seconds);
        unsigned i = 0;
        for (; next < end && i < most_samples; ++i) {
            // One that comes late does not hurry: the worker has other things to do, too.
            next = std::max(next + std::chrono::nanoseconds(1'000'000'000 / pace),
                            std::chrono::steady_clock::now());
            std::this_thread::sleep_until(next);
            out[i].at = unix_now();
            bool opened = false;
            out[i].opening_us = static_cast<float>(microseconds_of([&] { opened = tickets->open(ticket); }));
            out[i].sealing_us = static_cast<float>(microseconds_of([&] { ticket = tickets->seal(); }));
            if (!opened) {
                throw std::runtime_error("a ticket did not open");
            }
        }
        return static_cast<double>(i);
    };
}

/// The operation takes so long at most, in this share of the cases.
struct Percentiles {
    double p50, p99, p999;
};
Percentiles percentiles_of(std::vector<float>& figures) {
    if (figures.empty()) {
        throw std::runtime_error("no ticket was made in that time");
    }
    std::ranges::sort(figures);
    const auto at = [&](double share) {
        return static_cast<double>(
            figures[static_cast<std::size_t>(share * static_cast<double>(figures.size()))]);
    };
    return {at(0.5), at(0.99), at(0.999)};
}

/// One line's figures: of each turn one.
struct Line {
    std::vector<double> p50, p99, p999;
    void add(std::vector<float> figures) {
        const auto [median, most, nearly_all] = percentiles_of(figures);
        p50.push_back(median);
        p99.push_back(most);
        p999.push_back(nearly_all);
    }
};

struct Lines {
    Line steady, rotating, at_an_edge;
    std::vector<double> longest_at_edge;
};

using Operation = float Sample::*;

void add_steady(Lines& lines, const Sample* samples, std::size_t count, Operation operation) {
    std::vector<float> all;
    for (std::size_t i = 0; i < count; ++i) {
        all.push_back(samples[i].*operation);
    }
    lines.steady.add(std::move(all));
}

void add_rotating(Lines& lines, const Sample* samples, std::size_t count, Operation operation) {
    std::vector<float> all;
    std::vector<float> close;
    std::map<double, double> longest;  // by edge
    for (std::size_t i = 0; i < count; ++i) {
        const auto& sample = samples[i];
        const double edge = std::round(sample.at);  // the period is a second
        all.push_back(sample.*operation);
        if (std::abs(sample.at - edge) <= near_an_edge) {
            close.push_back(sample.*operation);
            longest[edge] = std::max<double>(longest[edge], sample.*operation);
        }
    }
    lines.rotating.add(std::move(all));
    lines.at_an_edge.add(std::move(close));
    for (const auto& [edge, most] : longest) {
        lines.longest_at_edge.push_back(most);
    }
}

void tell_line(const std::string& title, const std::string& when, const Line& line, const Line* yardstick) {
    for (const auto& [name, figures] :
         {std::pair("p50", &Line::p50), {"p99", &Line::p99}, {"p99.9", &Line::p999}}) {
        Result result{.title = title,
                      .subject = when + ", " + name,
                      .unit = "us",
                      .figure = spread_of(line.*figures),
                      .ratio = {},
                      .aim = {}};
        if (yardstick != nullptr) {
            std::vector<double> ratios;
            for (unsigned turn = 0; turn < turns; ++turn) {
                ratios.push_back((line.*figures)[turn] / (yardstick->*figures)[turn]);
            }
            result.ratio = spread_of(ratios);
            if (figures == &Line::p99) {
                result.aim = aim;
            }
        }
        tell(result);
    }
}

void tell_lines(const std::string& title, const Lines& lines) {
    tell_line(title, "steady", lines.steady, nullptr);
    tell_line(title, "across 100 rotations", lines.rotating, &lines.steady);
    tell_line(title, "within 100 ms of a rotation", lines.at_an_edge, &lines.steady);
    tell({.title = title,
          .subject = "the longest at each rotation",
          .unit = "us",
          .figure = spread_of(lines.longest_at_edge),
          .ratio = {},
          .aim = {}});
}

}  // namespace

int main() {
    test::Workspace workspace("latency");
    Instance hourly(workspace, {3600, 7200});
    Instance hasty(workspace, {1, 3});
    const Samples samples;
    Side steady([&] { return worker(hourly.openssl_conf(), samples); });
    Side rotating([&] { return worker(hasty.openssl_conf(), samples); });
    steady.ask(1);
    rotating.ask(1);
    Lines opening;
    Lines sealing;
    for (unsigned turn = 0; turn < turns; ++turn) {
        const auto quiet = static_cast<std::size_t>(steady.ask(steady_seconds));
        add_steady(opening, samples.data(), quiet, &Sample::opening_us);
        add_steady(sealing, samples.data(), quiet, &Sample::sealing_us);
        // From the middle of an epoch to the middle of another.
        std::this_thread::sleep_for(std::chrono::duration<double>(std::ceil(unix_now()) + 0.5 - unix_now()));
        const auto busy = static_cast<std::size_t>(rotating.ask(edges_per_turn));
        add_rotating(opening, samples.data(), busy, &Sample::opening_us);
        add_rotating(sealing, samples.data(), busy, &Sample::sealing_us);
    }
    tell_lines("Opening a ticket as libssl sees it, 2000 a second, wall time", opening);
    tell_lines("Sealing a ticket as libssl sees it, 2000 a second, wall time", sealing);
    return 0;
}
