// The RSA public keys that a location's machines offer.
#pragma once

#include "daemon/fleet/location_desk.hpp"
#include "daemon/fleet/record.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace stek::fleet {

/// Asked for in each run, since a machine that was booted offers other pairs under the same names; verified
/// when they have changed. What is kept is what was found, and no pair: of a thousand machines they would
/// take some megabytes.
class OfferedPairs {
  public:
    explicit OfferedPairs(LocationDesk& desk) : desk_(&desk) {}

    /// `list`: the hash of the list's frame. `first_epoch`: of the pairs that machines offer now. Throws
    /// EngineError.
    void begin_run(const Digest& list, std::uint64_t first_epoch);
    /// other_than() for each will follow. Throws EngineError.
    void read_ahead(std::span<const ListedMachine> machines, std::uint64_t first_epoch);
    /// The machine's pair for epochs from `first_epoch` on. Nothing if there is none that is good (which is
    /// told), or if it is the one of that id, which is then not verified. Throws EngineError.
    std::optional<MachinePair> other_than(const PairId* known, const ListedMachine& machine,
                                          std::uint64_t first_epoch);

  private:
    struct Judged {
        Digest frame{};
        bool is_good = false;
    };
    void look_at_those_before(std::uint64_t first_epoch);
    [[nodiscard]] MachinePair open(Bytes frame, const Party& machine, std::uint64_t first_epoch) const;

    LocationDesk* desk_;
    Digest list_{};  ///< that these were judged by, and have their places from
    std::map<std::uint64_t, std::vector<Judged>> judged_;  ///< by epoch and machine
};

}  // namespace stek::fleet
