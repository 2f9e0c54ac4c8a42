#include "tests/bench/results.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <stdexcept>

#include <nlohmann/json.hpp>

namespace stek::tests {

namespace {

/// Between neighbours where it falls between them, as for the median of an even number.
double quantile(const std::vector<double>& sorted, double share) {
    const double at = share * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const auto above = std::min(below + 1, sorted.size() - 1);
    return std::lerp(sorted[below], sorted[above], at - static_cast<double>(below));
}

nlohmann::ordered_json json_of(const Spread& spread) {
    return {{"median", spread.median},
            {"quartiles", {spread.lower_quartile, spread.upper_quartile}},
            {"least", spread.least},
            {"most", spread.most},
            {"figures", spread.figures}};
}

void append(const std::string& path, const Result& result) {
    nlohmann::ordered_json line{{"title", result.title},
                                {"subject", result.subject},
                                {"unit", result.unit},
                                {"figure", json_of(result.figure)}};
    if (result.ratio) {
        line["ratio"] = json_of(*result.ratio);
    }
    if (result.aim) {
        line["aim"] = *result.aim;
    }
    std::ofstream out(path, std::ios::app);
    out << line.dump() << '\n';
    if (!out.flush()) {
        throw std::runtime_error("cannot write " + path);
    }
}

}  // namespace

Spread spread_of(std::vector<double> figures) {
    std::ranges::sort(figures);
    return {quantile(figures, 0.5), quantile(figures, 0.25), quantile(figures, 0.75),
            figures.front(),        figures.back(),          figures.size()};
}

std::optional<Spread> ratio_of(const std::vector<double>& figures, const std::vector<double>& yardstick) {
    if (yardstick.empty()) {
        return {};
    }
    std::vector<double> ratios(yardstick.size());
    std::ranges::transform(figures, yardstick, ratios.begin(), std::divides());
    return spread_of(std::move(ratios));
}

void tell(const Result& result) {
    static std::string last_title;
    if (result.title != last_title) {
        std::printf("%s\n", result.title.c_str());
        last_title = result.title;
    }
    std::printf("  %-46s %9.2f (%.2f..%.2f) %s", result.subject.c_str(), result.figure.median,
                result.figure.least, result.figure.most, result.unit.c_str());
    if (result.ratio) {
        std::printf("   ratio %.3f, quartiles %.3f..%.3f (%.3f..%.3f)", result.ratio->median,
                    result.ratio->lower_quartile, result.ratio->upper_quartile, result.ratio->least,
                    result.ratio->most);
    }
    if (result.aim) {
        std::printf("   aim %.2f", *result.aim);
    }
    std::puts("");
    std::fflush(stdout);
    if (const char* path = std::getenv("STEK_BENCH_RESULTS")) {
        append(path, result);
    }
}

}  // namespace stek::tests
