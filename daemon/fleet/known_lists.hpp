// The newest lists that a party has seen: the fleet's, and its location's.
#pragma once

#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/party.hpp"
#include "daemon/fleet/verified_frames.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace stek::fleet {

/// Lists are taken from the engine when they are signed by whom they have to be signed by and their serial is
/// above that of the one at hand; an older one is a replay, another one of the same serial is too: but where
/// vaults that could not see each other have signed one serial of their location's each, the one of the lower
/// number goes before (see issue_list() for those who can). The fleet's list is the root's; a location's is
/// that of any of its vaults that is active then. (A vault that is retired later leaves the list that it has
/// signed in force with those who know it: what was approved while it was trusted stays so. It can sign no
/// more, and another vault signs the same anew for those who come later: Location.)
///
/// The frames are kept in files, word for word, so that a party that starts without an engine knows whom to
/// trust, and can put them back into an engine that has lost them. They are public, but whoever could change
/// them could undo a retirement: 0600, in a directory of 0700. One thread at a time.
class KnownLists {
  public:
    /// `directory` is there already (stekd's state directory); empty for who only looks: nothing is kept, and
    /// nothing put back. `location`: whose machines are of interest; empty for an origin. A file that is not
    /// good is told and passed over. Throws std::system_error.
    KnownLists(std::string directory, const Point& root, std::string location);

    /// Looks in the engine; puts back what the engine lost. True if there is a newer list than before. Frames
    /// that are not good are told, once each, and passed over. Throws EngineError, std::system_error.
    bool refresh(Engine& engine);
    /// The same for one frame, for instance from a file: durable on return. Throws FrameError with the reason
    /// if it is not taken, std::system_error.
    void offer(Bytes frame);

    [[nodiscard]] const FleetId& fleet_id() const noexcept { return fleet_id_; }
    /// Null before the first list.
    [[nodiscard]] const PartyList* fleet() const noexcept { return fleet_ ? &fleet_->list : nullptr; }
    [[nodiscard]] const PartyList* machines() const noexcept {
        return machines_ ? &machines_->list : nullptr;
    }
    /// Nobody else takes that list any more who does not have it yet: a vault that was retired has signed it.
    [[nodiscard]] bool machines_are_by_a_retired_vault() const;
    /// Their frames; good until the next refresh() or offer(). Empty before the first list.
    [[nodiscard]] Bytes fleet_frame() const noexcept { return fleet_ ? Bytes(fleet_->frame) : Bytes(); }
    [[nodiscard]] Bytes machines_frame() const noexcept {
        return machines_ ? Bytes(machines_->frame) : Bytes();
    }

    /// The keys that they have in the engine's buckets, and the name of the fleet's file in the directory.
    static constexpr char fleet_key[] = "list", machines_key[] = "machines", fleet_file[] = "fleet.list";

    /// The body of a frame that an active party of that role signed (role vault: of `location`, if not
    /// empty; role machine: of this location), and who it was; it points into a list, good until the next
    /// refresh() or offer(). Throws FrameError: also for retired and unknown parties.
    [[nodiscard]] Bytes open(Bytes frame, Kind kind, Role role, const std::string& location,
                             const Party*& signer) const;

  private:
    struct Known {
        PartyList list;
        std::vector<std::uint8_t> frame;
    };
    enum class From : std::uint8_t { own_file, outside };

    [[nodiscard]] PartyList verified(Bytes frame, From from) const;
    [[nodiscard]] Point list_key(PartyNumber signer, From from) const;
    [[nodiscard]] PartyNumber signer_of(Bytes frame) const;
    [[nodiscard]] bool goes_before(const PartyList& list, Bytes frame, const Known& known) const;
    std::optional<Known>& place_of(const PartyList& list);
    void load(const std::string& file);
    bool look(Engine& engine, const std::string& bucket, const std::string& key);
    void put_back(Engine& engine, const std::string& bucket, const std::string& key, Bytes frame);
    void tell_once(const std::string& where, const std::string& why);

    std::string directory_, location_;
    Point root_;
    FleetId fleet_id_{};
    std::optional<Known> fleet_, machines_;
    mutable VerifiedFrames verified_frames_;
    std::map<std::string, std::string> told_;  ///< what was last wrong, by where
};

}  // namespace stek::fleet
