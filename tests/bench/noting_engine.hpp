// An engine that notes when bundles and records were stored, for who measures.
#pragma once

#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/engine_keys.hpp"
#include "tests/bench/waiting_party.hpp"

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace stek::tests {

using Moment = std::chrono::steady_clock::time_point;

/// The first or the last time of each key. Any thread.
class Moments {
  public:
    void note_first(daemon::KeyId key) {
        const std::lock_guard lock(mutex_);
        moments_.emplace(key, std::chrono::steady_clock::now());
    }
    void note_last(daemon::KeyId key) {
        const std::lock_guard lock(mutex_);
        moments_[key] = std::chrono::steady_clock::now();
    }
    [[nodiscard]] std::optional<Moment> of(daemon::KeyId key) const {
        const std::lock_guard lock(mutex_);
        const auto found = moments_.find(key);
        return found != moments_.end() ? std::optional(found->second) : std::nullopt;
    }
    /// The highest revision of an epoch.
    [[nodiscard]] std::optional<daemon::KeyId> newest_of(std::uint64_t epoch) const {
        const std::lock_guard lock(mutex_);
        const auto behind = moments_.lower_bound({epoch + 1, 0});
        return behind != moments_.begin() && std::prev(behind)->first.epoch == epoch
                   ? std::optional(std::prev(behind)->first)
                   : std::nullopt;
    }

  private:
    mutable std::mutex mutex_;
    std::map<daemon::KeyId, Moment> moments_;
};

class NotingEngine final : public fleet::Engine {
  public:
    NotingEngine(std::unique_ptr<fleet::Engine> behind, Pulse& pulse)
        : behind_(std::move(behind)), pulse_(pulse) {}

    Moments bundles;  ///< create() has returned
    Moments records;  ///< the last one's put() has returned

    bool create(const std::string& bucket, const std::string& key, Bytes value) override {
        const bool is_stored = behind_->create(bucket, key, value);
        pulse_.note_stored();
        if (const auto bundle = fleet::parse_bundle_key(key); bundle && is_stored)
            bundles.note_first(*bundle);
        return is_stored;
    }
    void put(const std::string& bucket, const std::string& key, Bytes value) override {
        behind_->put(bucket, key, value);
        pulse_.note_stored();
        if (const auto record = fleet::key_of_record(key))
            records.note_last(*record);
    }
    void put_all(const std::string& bucket, const std::vector<Item>& items) override {
        behind_->put_all(bucket, items);
        pulse_.note_stored();
        for (const auto& item : items)
            if (const auto record = fleet::key_of_record(item.key))
                records.note_last(*record);
    }
    void read_ahead(const std::string& bucket, const std::vector<std::string>& keys) override {
        behind_->read_ahead(bucket, keys);
    }
    std::optional<std::vector<std::uint8_t>> get(const std::string& bucket, const std::string& key) override {
        return behind_->get(bucket, key);
    }
    std::vector<std::string> list(const std::string& bucket, const std::string& prefix) override {
        return behind_->list(bucket, prefix);
    }
    void erase(const std::string& bucket, const std::string& key) override {
        behind_->erase(bucket, key);
        pulse_.note_stored();
    }
    std::unique_ptr<fleet::Watch> watch(const std::string& bucket) override { return behind_->watch(bucket); }
    void look_afresh() override { behind_->look_afresh(); }
    void prepare(const std::vector<std::string>& buckets) override { behind_->prepare(buckets); }
    [[nodiscard]] std::string name() const override { return behind_->name(); }

  private:
    std::unique_ptr<fleet::Engine> behind_;
    Pulse& pulse_;
};

}  // namespace stek::tests
