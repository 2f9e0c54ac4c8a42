// One run of an origin; not for those who use one.
#pragma once

#include "daemon/fleet/bundle_check.hpp"
#include "daemon/fleet/origin.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace stek::fleet {

struct OriginDesk {
    const Identity& self;
    KnownLists& lists;
    Engine& engine;
    BundleStore& store;
    const FillRandom& fill;
    OriginReport& report;
};

/// What the engine has under each key of interest is looked at once, first; the rest goes by that. An
/// EngineError ends no more than what it concerns, and finish() throws the first one.
class OriginRun {
  public:
    /// This origin is in the list.
    OriginRun(const OriginDesk& desk, const daemon::Now& now, const daemon::Policy& policy);

    /// At bundles up to epoch `furthest`; takes good ones, puts back what the engine has lost.
    void look(std::uint64_t furthest);
    /// The engine had lost what is held here for the current epoch or a later one.
    [[nodiscard]] bool engine_had_lost() const noexcept { return engine_had_lost_; }
    /// From the current one on, with a good bundle.
    [[nodiscard]] std::vector<std::uint64_t> epochs_there() const;
    /// Sees to it that the engine has a good bundle for the epoch: without minting one, only if this origin
    /// has minted it already.
    enum class Minting : std::uint8_t { yes, no };
    void provide(std::uint64_t epoch, Minting minting);
    /// Sees to it that it has a newer one than now, for active vaults only.
    void renew(std::uint64_t epoch);
    void tidy();
    /// Throws `earlier`, if there is one, or the first EngineError of this run.
    void finish(const std::optional<EngineError>& earlier);

  private:
    enum class There : std::uint8_t { good, nothing, occupied };
    struct Good {
        bool for_active_only = false;
    };

    template <class Act>
    void attempt(std::uint64_t epoch, Act&& act);
    void alarm(const std::string& text) { desk_.report.alarms.push_back(text); }

    [[nodiscard]] std::vector<KeyId> keys_of_interest(std::uint64_t furthest) const;
    There look_at(KeyId key);
    There put_back(KeyId key);
    There take(KeyId key, Bytes found, const CheckedBundle& checked);
    There stand_against(KeyId key, const CheckedBundle& checked);
    There note_good(KeyId key, const Bundle& bundle);
    [[nodiscard]] CheckedBundle check(Bytes frame, KeyId key) const;

    There offer(KeyId key);
    bool offer_minted(std::uint64_t epoch);
    bool mint_next(std::uint64_t epoch);
    bool mint_over_noise(KeyId key, const Recipients& recipients);
    void keep_minted(KeyId key, const Recipients& recipients);
    [[nodiscard]] std::optional<KeyId> next_unused(std::uint64_t epoch) const;
    [[nodiscard]] const Good* newest_good(std::uint64_t epoch) const;
    [[nodiscard]] Digest hash_before(KeyId key) const;
    [[nodiscard]] std::optional<std::uint64_t> newest_of_others() const;

    OriginDesk desk_;
    const daemon::Policy& policy_;
    std::uint64_t current_;
    PartyNumber own_;
    std::vector<KeyId> listed_;      ///< in the engine, sorted
    std::map<KeyId, Good> good_;     ///< in the engine
    std::set<KeyId> spent_, noise_;  ///< in the engine, and not put right
    bool engine_had_lost_ = false;
    std::set<std::uint64_t> unknown_;   ///< epochs that the engine would not tell about
    std::optional<EngineError> first_;  ///< that it refused
};

}  // namespace stek::fleet
