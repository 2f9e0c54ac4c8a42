// What a benchmark found, for people on standard output and for tests/bench/report in a file.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace stek::tests {

struct Spread {
    double median, lower_quartile, upper_quartile, least, most;
    std::size_t figures;
};
/// Of at least one figure.
Spread spread_of(std::vector<double> figures);
/// Turn by turn; nothing without a yardstick, which else has as many figures.
std::optional<Spread> ratio_of(const std::vector<double>& figures, const std::vector<double>& yardstick);

/// One line of a table.
struct Result {
    std::string title;    ///< of the table
    std::string subject;  ///< of the line
    std::string unit;     ///< of `figure`
    Spread figure;
    /// Times what the yardstick took, turn by turn: 1.05 is a twentieth more. Empty: it is the yardstick.
    std::optional<Spread> ratio;
    std::optional<double> aim;  ///< the ratio's median at most
};

/// Prints the table's title, if `result` does not continue the last table, and the line. Appends the line as
/// JSON to the file that STEK_BENCH_RESULTS names, if it is set; throws if it cannot.
void tell(const Result& result);

}  // namespace stek::tests
