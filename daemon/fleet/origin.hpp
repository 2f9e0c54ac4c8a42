// An origin: mints hourly keys ahead and leaves them, sealed to each vault, in the engine.
//
// Several origins need no leader. Each keeps the bundle that it has minted before it offers it with create();
// the first wins, and the others throw theirs away and keep the winner's. After a total loss of the engine
// each puts back the very frames that it holds, never a second hourly key for an (epoch, revision).
#pragma once

#include "daemon/fleet/bundle.hpp"
#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/identity.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/plan.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace stek::fleet {

/// Frames of bundles that this party has minted or seen, word for word, in files of its state directory: what
/// is durable before it is offered. They hold nothing that the engine does not. One thread at a time.
class BundleStore {
  public:
    /// Makes DIR/bundles (0700) if need be, removes files that are none. Throws std::system_error.
    explicit BundleStore(const std::string& directory);
    [[nodiscard]] const std::map<KeyId, std::vector<std::uint8_t>>& frames() const noexcept {
        return frames_;
    }
    void keep(KeyId key, Bytes frame);  ///< durable on return; replaces
    void drop_before(std::uint64_t epoch);

  private:
    std::string directory_;
    std::map<KeyId, std::vector<std::uint8_t>> frames_;
};

class Origin {
  public:
    /// `fill` gives bytes of the token's random generator. All are borrowed.
    Origin(const Identity& self, KnownLists& lists, Engine& engine, BundleStore& store,
           std::function<void(std::span<std::uint8_t>)> fill);

    static constexpr std::uint64_t ahead = 3;  ///< epochs

    /// Whatever is due at `now`: looks at lists and pre-keys; makes sure that the engine has a bundle for the
    /// current epoch and `ahead` more (r 0 where there is none), and that it is the one held here, if one is;
    /// takes what others have stored. Drops bundles whose epoch is over, here and in the engine. Throws
    /// EngineError, FrameError (not in the list, no list yet), pkcs11 errors. Each step that was done stays.
    void run(const daemon::Now& now, const daemon::Policy& policy);

    /// A new revision for the current epoch and each one ahead that has a bundle: whoever is no longer in the
    /// list gets nothing of it (`stekctl fleet retire --now`, and rotate).
    void renew(const daemon::Now& now, const daemon::Policy& policy);

    struct Report {
        std::uint64_t newest_epoch = 0;  ///< with a bundle in the engine
        std::vector<PartyNumber>
            without_pre_key;              ///< vaults sealed to by their long-lived key in the last bundle
        std::vector<std::string> alarms;  ///< another bundle for an (epoch, revision) that is held here, ...
    };
    [[nodiscard]] const Report& report() const noexcept { return report_; }

  private:
    const Identity* self_;
    KnownLists* lists_;
    Engine* engine_;
    BundleStore* store_;
    std::function<void(std::span<std::uint8_t>)> fill_;
    Report report_;
};

}  // namespace stek::fleet
