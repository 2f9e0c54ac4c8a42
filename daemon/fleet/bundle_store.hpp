// The bundles that an origin holds, in files: what is durable before it is offered, and what an engine that
// has lost everything gets back.
#pragma once

#include "daemon/fleet/bundle.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace stek::fleet {

/// Frames of bundles that this party has minted or seen, word for word, in files of its state directory. They
/// hold nothing that the engine does not. One thread at a time.
class BundleStore {
  public:
    enum class State : std::uint8_t {
        minted,   ///< here; whether the engine took it is not known
        settled,  ///< it was seen in the engine: others may have derived with it, so it stays what it is
    };
    struct Held {
        std::vector<std::uint8_t> frame;
        State state = State::minted;
    };

    /// Makes DIR/bundles (0700) if need be, removes files that are none. A file is not looked at further than
    /// its name and size. Throws std::system_error.
    explicit BundleStore(const std::string& directory);

    [[nodiscard]] const std::map<KeyId, Held>& held() const noexcept { return held_; }
    [[nodiscard]] const Held* find(KeyId key) const;
    /// Durable on return; replaces. Throws std::system_error; what was held is then held still.
    void keep(KeyId key, Bytes frame, State state);
    /// What is held is what was seen in the engine.
    void settle(KeyId key);
    void drop_before(std::uint64_t epoch);

  private:
    void load(const std::string& file);

    std::string directory_;
    std::map<KeyId, Held> held_;
};

}  // namespace stek::fleet
