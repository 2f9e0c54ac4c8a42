// An origin: mints hourly keys ahead and leaves them, sealed to each vault, in the engine.
//
// Several origins need no leader. Each keeps the bundle that it has minted before it offers it with create();
// the first wins, and the others throw theirs away and keep the winner's. After a total loss of the engine
// each puts back the very frames that it holds, never a second hourly key for an (epoch, revision): what
// another origin had stored last, and this one had not seen yet, is waited for. There are epochs enough
// ahead.
#pragma once

#include "daemon/fleet/bundle_mint.hpp"
#include "daemon/fleet/bundle_store.hpp"
#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/identity.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/plan.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace stek::fleet {

struct OriginReport {
    std::uint64_t newest_epoch = 0;  ///< with a good bundle in the engine
    std::vector<PartyNumber>
        without_pre_key;              ///< vaults sealed to by their long-lived key in the last bundle
    std::vector<std::string> alarms;  ///< of the last run; a run sees again what has not been put right
};

class Origin {
  public:
    using Report = OriginReport;

    /// `fill` gives bytes of the token's random generator. All else is borrowed.
    Origin(const Identity& self, KnownLists& lists, Engine& engine, BundleStore& store, FillRandom fill);

    static constexpr std::uint64_t ahead = 3;  ///< epochs
    /// Epochs in which nothing is minted ahead after a loss: others put back what they hold.
    static constexpr std::uint64_t waited_for_others = 2;

    /// Whatever is due at `now`: looks at lists and pre-keys; makes sure that the engine has a good bundle
    /// for the current epoch and `ahead` more, and that it is the one held here, if one is; takes what others
    /// have stored; drops bundles that are long over, here and in the engine. Without an active vault nothing
    /// is minted. What the engine refuses keeps nothing else from being done; it is thrown at the end. Throws
    /// EngineError, FrameError (not in the list, no list yet), hpke and pkcs11 errors, std::system_error.
    /// Each step that was done stays.
    void run(const daemon::Now& now, const daemon::Policy& policy);

    /// A new revision for the current epoch and each later one that has a bundle: whoever is no longer in the
    /// list gets nothing of it (`stekctl fleet retire --now`, and rotate). Throws as run(); once more is then
    /// one revision more.
    void renew(const daemon::Now& now, const daemon::Policy& policy);

    [[nodiscard]] const Report& report() const noexcept { return report_; }

  private:
    void begin();

    const Identity* self_;
    KnownLists* lists_;
    Engine* engine_;
    BundleStore* store_;
    FillRandom fill_;
    Report report_;
    std::optional<std::uint64_t>
        lost_at_;  ///< seconds of CLOCK_BOOTTIME: when the engine had lost what is held
    std::optional<EngineError> refused_;  ///< the lists, in this run
};

/// The first epoch whose bundles are kept, when it is `current` by an origin's own clock. `held`: epochs with
/// a bundle, rising. `others`: the newest epoch that another active origin has signed a bundle for.
std::uint64_t first_kept_epoch(std::uint64_t current, const std::vector<std::uint64_t>& held,
                               std::optional<std::uint64_t> others) noexcept;
inline constexpr std::uint64_t kept_over = 8;  ///< epochs that are over and yet kept
inline constexpr std::size_t most_over = 168;  ///< epochs; where nobody else tells the time

}  // namespace stek::fleet
