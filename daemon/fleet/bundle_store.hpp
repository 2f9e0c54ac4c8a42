// The bundles that a party holds, in files: what is durable before it is offered.
#pragma once

#include "daemon/fleet/bundle.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stek::fleet {

/// Frames, word for word. They hold nothing that the engine does not. A bundle is first `pending`: minted
/// here, maybe offered, and to be given up if another turns out to have been first; then `settled`: the one
/// of its (epoch, revision), for good. One thread at a time.
class BundleStore {
  public:
    enum class State : std::uint8_t { pending, settled };
    struct Held {
        State state;
        std::vector<std::uint8_t> frame;
    };

    /// Makes DIR/bundles (0700) if need be. Files that are no bundles by their names are left alone. Throws
    /// std::system_error.
    explicit BundleStore(const std::string& directory);

    [[nodiscard]] const std::map<daemon::KeyId, Held>& held() const noexcept { return held_; }
    [[nodiscard]] const Held* find(daemon::KeyId key) const noexcept;
    /// Whole and on the disk on return; replaces. Throws std::system_error, and nothing has changed then.
    void keep(daemon::KeyId key, Bytes frame, State state);
    void drop(daemon::KeyId key);

  private:
    [[nodiscard]] std::string path_of(daemon::KeyId key, State state) const;

    std::string directory_;
    std::map<daemon::KeyId, Held> held_;
};

/// "<epoch>.<revision>", its key in the engine.
std::string engine_key(daemon::KeyId key);
/// Nothing if it is none, or is not written as engine_key() writes it.
std::optional<daemon::KeyId> parse_engine_key(std::string_view text) noexcept;

}  // namespace stek::fleet
