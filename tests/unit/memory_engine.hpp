// An engine in memory, which can be down.
#pragma once

#include "daemon/fleet/engine.hpp"
#include "trap.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace stek::test {

using Value = std::vector<std::uint8_t>;

class MemoryEngine final : public fleet::Engine {
  public:
    explicit MemoryEngine(Trap& trap) : trap_(&trap) {}
    bool create(const std::string& bucket, const std::string& key, Bytes value) override {
        call();
        return values[bucket].emplace(key, Value(value.begin(), value.end())).second;
    }
    void put(const std::string& bucket, const std::string& key, Bytes value) override {
        call();
        values[bucket][key] = Value(value.begin(), value.end());
        ++puts;
    }
    std::optional<Value> get(const std::string& bucket, const std::string& key) override {
        call();
        const auto found = values[bucket].find(key);
        if (found != values[bucket].end() && found->second.size() > max_value)
            throw fleet::OversizedValue(key + " is too large");
        return found == values[bucket].end() ? std::nullopt : std::optional(found->second);
    }
    std::vector<std::string> list(const std::string& bucket, const std::string& prefix) override {
        call();
        std::vector<std::string> keys;
        for (const auto& [key, value] : values[bucket])
            if (key.starts_with(prefix))
                keys.push_back(key);
        return keys;
    }
    void erase(const std::string& bucket, const std::string& key) override {
        call();
        values[bucket].erase(key);
    }
    std::unique_ptr<fleet::Watch> watch(const std::string&) override {
        throw fleet::EngineError("nobody watches here");
    }
    [[nodiscard]] std::string name() const override { return "memory"; }

    std::map<std::string, std::map<std::string, Value>> values;
    bool down = false;
    unsigned puts = 0;

  private:
    void call() {
        trap_->step();
        if (down)
            throw fleet::EngineError("the engine is down");
    }
    Trap* trap_;
};

}  // namespace stek::test
