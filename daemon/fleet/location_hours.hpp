// The hourly keys that a location's vault has at hand: bundles, verified, compared with what is pinned, and
// opened.
#pragma once

#include "daemon/fleet/location_desk.hpp"
#include "daemon/fleet/location_plan.hpp"

#include <map>
#include <optional>
#include <vector>

namespace stek::fleet {

/// They are in memory only: after a restart the bundles are opened again, which the epoch's pre-key allows
/// for as long as the chain allows to derive.
class HourlyShelf {
  public:
    explicit HourlyShelf(LocationDesk& desk) : desk_(&desk) {}

    /// Takes what the engine has from the chain's epoch on, and pins durably what was opened. What is not
    /// good is told and passed over. Throws EngineError, what tokens throw, what saving throws.
    void look(std::uint64_t chain_epoch, std::int64_t now, const daemon::Policy& policy);
    /// Wiped.
    void drop_before(std::uint64_t epoch);
    void drop(KeyId key);

    /// In rising order. Verified; whether opened is another question.
    [[nodiscard]] std::vector<VerifiedBundle> bundles() const;
    /// To derive with; null if it is not opened, not pinned yet or revoked.
    [[nodiscard]] const HourlyKey* hourly(KeyId key) const;
    /// By a later revision of its epoch, opened or revoked since.
    [[nodiscard]] bool is_superseded(KeyId key) const;

  private:
    struct Known {
        Digest hash{};  ///< frame_hash()
        std::int64_t not_before = 0, not_after = 0;
        bool is_open = false;
        HourlyKey hourly;
    };
    void look_at(KeyId key, const daemon::Policy& policy);
    void take(KeyId key, Bytes frame, const daemon::Policy& policy);
    void open(const Bundle& bundle, PartyNumber origin, Known& into);
    [[nodiscard]] std::optional<TokenKey> key_of_share(const Bundle& bundle, const SealedHourly& share) const;
    void pin_opened(std::uint64_t chain_epoch);

    LocationDesk* desk_;
    std::map<KeyId, Known> known_;
};

}  // namespace stek::fleet
