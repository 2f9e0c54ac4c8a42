// An origin: mints hourly keys ahead and leaves them, sealed to each vault, in the engine.
//
// Several origins need no leader. Each keeps the bundle that it has minted before it offers it with create();
// the first wins, and the others give theirs up and keep the winner's. After a total loss of the engine each
// puts back the very frames that it holds, never a second hourly key for an (epoch, revision).
#pragma once

#include "daemon/fleet/bundle_store.hpp"
#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/identity.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/plan.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace stek::fleet {

class Origin {
  public:
    /// Gives bytes of the token's random generator.
    using Random = std::function<void(std::span<std::uint8_t>)>;

    /// All are borrowed but `random`. One thread at a time.
    Origin(const Identity& self, KnownLists& lists, Engine& engine, BundleStore& store, Random random);

    static constexpr std::uint64_t ahead = 3;  ///< epochs

    /// Whatever is due at `now`: looks at lists; makes sure that the engine has a bundle for the current
    /// epoch and `ahead` more, and that it is the one held here; takes those that others have stored; drops
    /// what is over, here and in the engine. Throws EngineError, std::system_error, FrameError (no list yet,
    /// or this origin is not in it), hpke::Error, pkcs11 errors. What was done before that stays.
    void run(const daemon::Now& now, const daemon::Policy& policy);

    /// A new revision for the current epoch and each one ahead: whoever is no longer in the list gets nothing
    /// of it (`stekctl fleet retire --now`, and rotate). Throws as run() does; what is missing then, the next
    /// renew() makes.
    void renew(const daemon::Now& now, const daemon::Policy& policy);

    struct Report {
        std::uint64_t newest_epoch = 0;         ///< that the engine has a bundle for
        std::set<PartyNumber> without_pre_key;  ///< vaults whose last share is sealed to their long-lived key
        std::vector<std::string> alarms;        ///< each once
    };
    [[nodiscard]] const Report& report() const noexcept { return report_; }

  private:
    PartyNumber begin();
    void settle(daemon::KeyId key, PartyNumber own, const daemon::Policy& policy);
    void offer(daemon::KeyId key, Bytes frame, const daemon::Policy& policy);
    void meet(daemon::KeyId key, Bytes found, const daemon::Policy& policy);
    void take_others(std::uint64_t current, const daemon::Policy& policy);
    void drop_over(std::uint64_t current);
    [[nodiscard]] std::vector<std::uint8_t> mint(daemon::KeyId key, PartyNumber own,
                                                 const daemon::Policy& policy);
    [[nodiscard]] std::vector<Recipient> recipients(std::uint64_t epoch);
    [[nodiscard]] std::optional<Point> pre_key_of(const Party& vault, std::uint64_t epoch);
    [[nodiscard]] Digest newest_before(daemon::KeyId key) const;
    /// Why it is no bundle for that key of an active origin; empty if it is.
    [[nodiscard]] std::string why_not_good(daemon::KeyId key, Bytes frame,
                                           const daemon::Policy& policy) const;
    void alarm(const std::string& what);

    const Identity* self_;
    KnownLists* lists_;
    Engine* engine_;
    BundleStore* store_;
    Random random_;
    std::optional<std::uint64_t> last_current_;
    Report report_;
};

}  // namespace stek::fleet
