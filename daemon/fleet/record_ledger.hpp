// What a location's vault knows of the records that are in its engine.
#pragma once

#include "daemon/fleet/frame.hpp"
#include "daemon/fleet/party.hpp"
#include "daemon/plan.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace stek::fleet {

/// By key and place in the list of machines: for a thousand machines their names alone would take a megabyte.
/// One thread at a time.
class RecordLedger {
  public:
    enum class State : std::uint8_t {
        absent,
        unread,  ///< there is something
        good,    ///< found so, or made here
        revoked,
    };
    using Mark = std::array<std::uint8_t, 16>;
    struct Entry {
        State state = State::absent;
        Mark mark{};  ///< of a good one the pair that it is for, of one that revokes mark_of() its frame
        bool operator==(const Entry&) const = default;
    };
    static Mark mark_of(Bytes frame);

    /// What entries hold true for: with another list, who has signed may be retired, and machines have other
    /// places; and once an epoch what was damaged since is found.
    struct Premises {
        std::uint64_t fleet_serial = 0;
        Digest machines{};  ///< of the list's frame: vaults that do not see each other sign one serial twice
        std::uint64_t epoch = 0;
        bool operator==(const Premises&) const = default;
    };
    /// `machines`: all of the list of these premises; it may be empty. `keys`, sorted: of interest; of others
    /// nothing is kept, for an engine may name as many as it likes. `names`: the engine's. True if the
    /// premises are others than before.
    bool begin_run(const Premises& premises, std::span<const Party> machines,
                   std::span<const daemon::KeyId> keys, const std::vector<std::string>& names);
    /// Of a key of interest, and the machine at that place in the list; others are std::out_of_range. Good
    /// until the next begin_run().
    [[nodiscard]] Entry& of(daemon::KeyId key, std::size_t machine) { return entries_.at(key).at(machine); }

  private:
    Premises premises_;
    std::vector<std::size_t> by_name_;  ///< places in the list
    std::map<daemon::KeyId, std::vector<Entry>> entries_;
};

}  // namespace stek::fleet
