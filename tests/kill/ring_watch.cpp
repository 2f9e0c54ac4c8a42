#include "tests/kill/ring_watch.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>

namespace stek::test {
namespace {

constexpr std::chrono::milliseconds between_looks(2);

}  // namespace

RingWatch::RingWatch(std::filesystem::path ring_file, unsigned stale_epochs)
    : ring_file_(std::move(ring_file)),
      stale_epochs_(stale_epochs),
      thread_([this](const std::stop_token& stop) {
          while (!stop.stop_requested()) {
              look();
              std::this_thread::sleep_for(between_looks);
          }
      }) {}

RingWatch::~RingWatch() = default;

void RingWatch::look() {
    std::vector<std::string> wrong;
    std::shared_ptr<const KeyRing> ring;
    try {
        ring = read_ring_file(ring_file_);
        if (!ring)
            wrong.emplace_back("there is no ring");
    } catch (const std::exception& error) {
        wrong.emplace_back(error.what());
    }
    const std::lock_guard lock(mutex_);
    ++looks_;
    if (ring && sealing_record(*ring, std::time(nullptr), stale_epochs_) == nullptr)
        ++without_a_key_;
    if (ring)
        std::ranges::move(ledger_.enter(*ring), std::back_inserter(wrong));
    for (auto& text : wrong)
        if (std::ranges::find(wrong_, text) == wrong_.end())
            wrong_.push_back(std::move(text));
}

std::vector<std::string> RingWatch::wrong() const {
    const std::lock_guard lock(mutex_);
    return wrong_;
}

std::uint64_t RingWatch::looks() const {
    const std::lock_guard lock(mutex_);
    return looks_;
}

std::uint64_t RingWatch::looks_without_a_key() const {
    const std::lock_guard lock(mutex_);
    return without_a_key_;
}

std::size_t RingWatch::keys() const {
    const std::lock_guard lock(mutex_);
    return ledger_.keys();
}

bool RingWatch::seals_at(const KeyName& name, std::int64_t wall) const {
    const std::lock_guard lock(mutex_);
    const auto* key = ledger_.find(name);
    return key != nullptr && key->not_before <= wall && wall < key->seal_until;
}

}  // namespace stek::test
