// An engine whose calls are steps of a longer piece of work.
#pragma once

#include "daemon/fleet/engine.hpp"

#include <functional>
#include <utility>

namespace stek::fleet {

/// Calls `progress`, which may be empty, before each call: a thousand values are a thousand waits for a disk,
/// and a watchdog should time one.
class SteppedEngine final : public Engine {
  public:
    SteppedEngine(std::unique_ptr<Engine> engine, std::function<void()> progress)
        : engine_(std::move(engine)), progress_(std::move(progress)) {}

    bool create(const std::string& bucket, const std::string& key, Bytes value) override {
        return stepped().create(bucket, key, value);
    }
    void put(const std::string& bucket, const std::string& key, Bytes value) override {
        stepped().put(bucket, key, value);
    }
    void put_all(const std::string& bucket, const std::vector<Item>& items) override {
        stepped().put_all(bucket, items);
    }
    void read_ahead(const std::string& bucket, const std::vector<std::string>& keys) override {
        stepped().read_ahead(bucket, keys);
    }
    std::optional<std::vector<std::uint8_t>> get(const std::string& bucket, const std::string& key) override {
        return stepped().get(bucket, key);
    }
    std::vector<std::string> list(const std::string& bucket, const std::string& prefix) override {
        return stepped().list(bucket, prefix);
    }
    void erase(const std::string& bucket, const std::string& key) override { stepped().erase(bucket, key); }
    std::unique_ptr<Watch> watch(const std::string& bucket) override { return stepped().watch(bucket); }
    void prepare(const std::vector<std::string>& buckets) override { stepped().prepare(buckets); }
    [[nodiscard]] std::string name() const override { return engine_->name(); }

  private:
    Engine& stepped() {
        if (progress_)
            progress_();
        return *engine_;
    }

    std::unique_ptr<Engine> engine_;
    std::function<void()> progress_;
};

}  // namespace stek::fleet
