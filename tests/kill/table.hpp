// The table of what each event did to the clients.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace stek::test {

struct Tally {
    std::uint64_t handshakes = 0;  ///< done, with an answer
    std::uint64_t resumed = 0;     ///< of these
    std::uint64_t failed = 0;
    std::uint64_t died = 0;  ///< with the process that served them, which the test had killed
    void operator+=(const Tally& more) noexcept;
};

struct Row {
    std::string event;
    Tally tally;
    unsigned times = 1;
    /// The longest time between two resumptions under the newest key, wherever they were served.
    std::chrono::milliseconds lost{};
    /// From the end of the event until each worker has resumed under the newest key.
    std::chrono::milliseconds back{};
};

class Table {
  public:
    /// Rows of one event become one: counts add up, of times the longest stays.
    void add(const Row& row);
    [[nodiscard]] const Tally& total() const noexcept { return total_; }
    [[nodiscard]] std::string text() const;

  private:
    std::vector<Row> rows_;
    Tally total_;
};

}  // namespace stek::test
