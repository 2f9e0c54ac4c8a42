// Reads the key ring without a pause, as a server that looks all the time would, and holds it against all the
// rings before.
#pragma once

#include "tests/kill/ledger.hpp"

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace stek::test {

class RingWatch {
  public:
    /// `stale_epochs`: for how long servers go on with a key after its time.
    RingWatch(std::filesystem::path ring_file, unsigned stale_epochs);
    RingWatch(const RingWatch&) = delete;
    RingWatch& operator=(const RingWatch&) = delete;
    ~RingWatch();

    /// Each once: a moment at which there was no ring, or not a whole one, and what Ledger::enter() has
    /// against it. Thread-safe, as all that follows.
    [[nodiscard]] std::vector<std::string> wrong() const;
    [[nodiscard]] std::uint64_t looks() const;
    /// Those at which no key sealed: stekd was held up for longer than the keys made ahead last.
    [[nodiscard]] std::uint64_t looks_without_a_key() const;
    [[nodiscard]] std::size_t keys() const;
    /// Whether this is the key that seals at that time, by its window.
    [[nodiscard]] bool seals_at(const KeyName& name, std::int64_t wall) const;

  private:
    void look();
    std::filesystem::path ring_file_;
    unsigned stale_epochs_;
    mutable std::mutex mutex_;
    Ledger ledger_;
    std::vector<std::string> wrong_;
    std::uint64_t looks_ = 0, without_a_key_ = 0;
    std::jthread thread_;  // last: it uses the others
};

}  // namespace stek::test
