// An engine whose calls are steps of a longer piece of work.
#pragma once

#include "daemon/fleet/engine.hpp"
#include "daemon/progress.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace stek::fleet {

/// Tells before each call that it waits for the engine, and after it that it no longer does: a thousand
/// values are a thousand waits for a disk, and a watchdog should time one.
class SteppedEngine final : public Engine {
  public:
    SteppedEngine(std::unique_ptr<Engine> engine, daemon::Progress progress)
        : engine_(std::move(engine)), progress_(std::move(progress)) {}

    bool create(const std::string& bucket, const std::string& key, Bytes value) override {
        return stepped()->create(bucket, key, value);
    }
    void put(const std::string& bucket, const std::string& key, Bytes value) override {
        stepped()->put(bucket, key, value);
    }
    void put_all(const std::string& bucket, const std::vector<Item>& items) override {
        stepped()->put_all(bucket, items);
    }
    void read_ahead(const std::string& bucket, const std::vector<std::string>& keys) override {
        stepped()->read_ahead(bucket, keys);
    }
    std::optional<std::vector<std::uint8_t>> get(const std::string& bucket, const std::string& key) override {
        return stepped()->get(bucket, key);
    }
    std::vector<std::string> list(const std::string& bucket, const std::string& prefix) override {
        return stepped()->list(bucket, prefix);
    }
    void erase(const std::string& bucket, const std::string& key) override { stepped()->erase(bucket, key); }
    std::unique_ptr<Watch> watch(const std::string& bucket) override { return stepped()->watch(bucket); }
    void look_afresh() override { engine_->look_afresh(); }
    void prepare(const std::vector<std::string>& buckets) override { stepped()->prepare(buckets); }
    [[nodiscard]] std::string name() const override { return engine_->name(); }

  private:
    /// One call, to the end of the expression that it is in.
    class Step {
      public:
        Step(Engine& engine, const daemon::Progress& progress) : engine_(engine), progress_(progress) {
            tell(progress_, daemon::Awaited::engine);
        }
        Step(const Step&) = delete;
        Step& operator=(const Step&) = delete;
        ~Step() { tell(progress_, daemon::Awaited::token); }
        Engine* operator->() const noexcept { return &engine_; }

      private:
        Engine& engine_;
        const daemon::Progress& progress_;
    };
    [[nodiscard]] Step stepped() const { return {*engine_, progress_}; }

    std::unique_ptr<Engine> engine_;
    daemon::Progress progress_;
};

}  // namespace stek::fleet
