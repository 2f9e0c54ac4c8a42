#include "tests/kill/table.hpp"

#include <algorithm>
#include <iomanip>
#include <sstream>

namespace stek::test {
namespace {

constexpr int name_width = 58, width = 11;

void put(std::ostream& out, const Tally& tally) {
    for (const auto number : {tally.handshakes, tally.resumed, tally.failed, tally.died})
        out << std::setw(width) << number;
}

}  // namespace

void Tally::operator+=(const Tally& more) noexcept {
    handshakes += more.handshakes;
    resumed += more.resumed;
    failed += more.failed;
    died += more.died;
}

void Table::add(const Row& row) {
    total_ += row.tally;
    const auto same = std::ranges::find(rows_, row.event, &Row::event);
    if (same == rows_.end()) {
        rows_.push_back(row);
        return;
    }
    same->tally += row.tally;
    same->times += row.times;
    same->lost = std::max(same->lost, row.lost);
    same->back = std::max(same->back, row.back);
}

std::string Table::text() const {
    std::ostringstream out;
    out << std::left << std::setw(name_width) << "event" << std::right;
    for (const char* title : {"times", "handshakes", "resumed", "failed", "died", "lost, ms", "back, ms"})
        out << std::setw(width) << title;
    out << '\n';
    for (const auto& row : rows_) {
        out << std::left << std::setw(name_width) << row.event << std::right << std::setw(width) << row.times;
        put(out, row.tally);
        out << std::setw(width) << row.lost.count() << std::setw(width) << row.back.count() << '\n';
    }
    out << std::left << std::setw(name_width + width) << "all" << std::right;
    put(out, total_);
    out << '\n';
    return out.str();
}

}  // namespace stek::test
