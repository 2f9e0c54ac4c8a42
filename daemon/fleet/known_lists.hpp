// The newest lists that a party has seen: the fleet's, and its location's.
#pragma once

#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/party.hpp"

#include <optional>
#include <string>
#include <vector>

namespace stek::fleet {

/// Lists are taken from the engine when they are signed by whom they have to be signed by and their serial is
/// above that of the one at hand; an older one is a replay, another one of the same serial is too, and both
/// are told (once). The frames are kept in files, word for word, so that a party that starts without an
/// engine knows whom to trust, and can put them back into an engine that has lost them. Public, but whoever
/// could change the files could undo a retirement: 0600, in a directory of 0700. One thread at a time.
class KnownLists {
  public:
    /// `directory` is there already (stekd's state directory). `location`: whose machines are of interest;
    /// empty for an origin. What the files hold is verified anew. Throws std::system_error.
    KnownLists(std::string directory, const FleetId& fleet, std::string location);

    /// Looks in the engine; puts back what the engine lost. True if there is a newer list than before. Frames
    /// that are not good are told and passed over. Throws EngineError, std::system_error.
    bool refresh(Engine& engine);
    /// The same for one frame, for instance from a file. Throws FrameError with the reason if it is not
    /// taken.
    void offer(Bytes frame);

    /// Nothing before the first list.
    [[nodiscard]] const PartyList* fleet() const noexcept { return fleet_ ? &fleet_->list : nullptr; }
    [[nodiscard]] const PartyList* machines() const noexcept {
        return machines_ ? &machines_->list : nullptr;
    }

    /// The body of a frame that an active party of that role signed (role vault: of `location`, if not
    /// empty; role machine: of this location). Throws FrameError: also for retired and unknown parties.
    [[nodiscard]] Bytes open(Bytes frame, Kind kind, Role role, const std::string& location,
                             const Party*& signer) const;

  private:
    struct Known {
        PartyList list;
        std::vector<std::uint8_t> frame;
    };
    std::string directory_, location_;
    FleetId fleet_id_{};
    std::optional<Known> fleet_, machines_;
    std::string told_;
};

}  // namespace stek::fleet
