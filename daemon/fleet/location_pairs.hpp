// The RSA public keys that a location's machines offer.
#pragma once

#include "daemon/fleet/location_desk.hpp"
#include "daemon/fleet/record.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>

namespace stek::fleet {

/// Asked for in each run, since a machine that was booted offers other pairs under the same names; verified
/// when they have changed.
class PairShelf {
  public:
    explicit PairShelf(LocationDesk& desk) : desk_(&desk) {}

    /// `first_epoch`: of the pairs that machines offer now. Throws EngineError.
    void begin_run(std::uint64_t first_epoch);
    /// of() of each will follow. Throws EngineError.
    void read_ahead(std::span<const Party* const> machines, std::uint64_t first_epoch);
    /// The pair for epochs from `first_epoch` on; null if there is none that is good (which is told). Throws
    /// EngineError.
    const MachinePair* of(const Party& machine, std::uint64_t first_epoch);

  private:
    struct Seen {
        Digest value{};
        bool is_good = false, is_fresh = false;
        MachinePair pair;
    };
    void look_at_those_before(std::uint64_t first_epoch);
    void look(const std::string& name, const Party& machine, std::uint64_t first_epoch, Seen& seen);
    [[nodiscard]] MachinePair open(Bytes frame, const Party& machine, std::uint64_t first_epoch) const;

    LocationDesk* desk_;
    std::uint64_t serial_ = 0;       ///< of the list that `seen_` was judged by
    std::set<std::string> offered_;  ///< names
    std::map<std::string, Seen> seen_;
};

}  // namespace stek::fleet
