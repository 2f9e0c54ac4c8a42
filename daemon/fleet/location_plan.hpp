// What a location's vault decides, as pure functions of time, the chain's epoch and what is at hand.
//
// The wall clock may be wrong by a year. It only selects: nothing is destroyed by its word alone, for that
// takes bundles that an origin has signed. And bundles alone move nothing either, before their time has come.
#pragma once

#include "daemon/fleet/bundle.hpp"
#include "daemon/plan.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace stek::fleet {

/// Epochs after the current one for which bundles are accepted and pre-keys made.
inline constexpr std::uint64_t location_ahead = 4;

/// A bundle that is signed as it must be and is the one that is pinned, if one is.
struct VerifiedBundle {
    KeyId key;
    std::int64_t not_before = 0, not_after = 0;
};

// --- pre-keys ---

/// More are not kept in the token, where everything gets slower with their number.
inline constexpr std::size_t most_pre_keys = 32;

struct PreKeyPlan {
    std::vector<std::uint64_t> make, destroy;  ///< first destroy
};
/// Made for the current epoch and those ahead, none before the chain's. Destroyed where the chain has gone
/// on; and, if there is no room, what a wrong clock has made: those furthest beyond what can be in use by
/// the newest bundle. `there`: sorted.
PreKeyPlan plan_pre_keys(std::uint64_t now_epoch, std::uint64_t chain_epoch,
                         std::optional<std::uint64_t> newest_bundle, const std::vector<std::uint64_t>& there);

// --- bundles ---

/// Of those that the engine lists: from the chain's epoch to location_ahead after now, sorted. Revisions are
/// given one after the other, so what is beyond the first `most_revisions` of an epoch is not looked at.
inline constexpr std::size_t most_revisions = 32;
std::vector<KeyId> bundles_of_interest(const std::vector<std::string>& names, std::uint64_t chain_epoch,
                                       std::uint64_t now_epoch);

/// Why a bundle's window is none of this location's periods; empty if it is.
std::string refuse_window(const VerifiedBundle& bundle, const daemon::Policy& policy);

// --- the chain ---

struct ChainMoves {
    /// Before anything is derived: to the oldest epoch that is still of use, for all before it is lost time
    /// (and more than Chain::max_steps_ahead cannot be derived over).
    std::optional<std::uint64_t> first;
    /// When all is derived: to the newest epoch that has begun.
    std::optional<std::uint64_t> then;
};
ChainMoves plan_chain(std::uint64_t chain_epoch, std::span<const VerifiedBundle> bundles, std::int64_t now,
                      const daemon::Policy& policy);

/// No later than the true time, whatever the local clock says, for origins sign no more than `origin_ahead`
/// epochs ahead. Nothing without bundles.
std::optional<std::int64_t> earliest_time(std::span<const VerifiedBundle> bundles, std::int64_t now,
                                          const daemon::Policy& policy, std::uint64_t origin_ahead);

// --- records ---

struct Window {
    std::int64_t not_before = 0, seal_until = 0, open_until = 0;
    bool operator==(const Window&) const = default;
};
/// Nothing if no record is to be made: the time is over, or there is a newer revision (`superseded`) and the
/// epoch has not begun. A newer revision ends the seal window; the open window stays, since machines that
/// got it late have sealed meanwhile.
std::optional<Window> record_window(const VerifiedBundle& bundle, bool superseded, std::int64_t now,
                                    const daemon::Policy& policy);
/// The window of an epoch, for a record that revokes.
Window epoch_window(std::uint64_t epoch, const daemon::Policy& policy);

}  // namespace stek::fleet
