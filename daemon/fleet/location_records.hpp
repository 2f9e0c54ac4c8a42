// The records that a location's vault leaves for its machines.
#pragma once

#include "daemon/fleet/location_desk.hpp"
#include "daemon/fleet/location_hours.hpp"
#include "daemon/fleet/location_pairs.hpp"
#include "daemon/fleet/record.hpp"

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace stek::fleet {

/// One a machine, key and pair, whichever of the location's vaults is first.
class RecordDesk {
  public:
    RecordDesk(LocationDesk& desk, HourlyShelf& hours) : desk_(&desk), hours_(&hours), pairs_(desk) {}

    /// Makes what is missing. What other vaults have revoked is revoked here, too. Throws EngineError, what
    /// tokens throw, what saving throws.
    void serve(std::int64_t now, const daemon::Policy& policy);
    /// Takes records out of the engine: those of keys that opened until `before` at most and cannot be
    /// derived any more.
    void erase_over(std::int64_t before, std::uint64_t chain_epoch, const daemon::Policy& policy);

    [[nodiscard]] std::uint64_t last_epoch() const noexcept { return last_epoch_; }
    [[nodiscard]] std::size_t machines() const noexcept { return machines_; }

  private:
    struct Job {
        const Party* machine;
        const MachinePair* pair;
    };
    struct Work {
        KeyId key;
        Window window;
        std::uint64_t period = 0, first_epoch_of_pair = 0;
    };
    enum class There : std::uint8_t { no, yes, revoked };

    void begin_run(std::int64_t now, const daemon::Policy& policy);
    void serve_key(const Work& work);
    void revoke_everywhere(KeyId key, const daemon::Policy& policy);
    [[nodiscard]] std::vector<const Party*> active() const;
    There look(const Party& machine, KeyId key, const PairId* pair);
    There judge(Bytes frame, const Party& machine, KeyId key, const PairId* pair);
    void adopt_revocation(KeyId key);
    bool derive(std::span<const Job> jobs, OaepHash oaep, KeyId key, WrappedSteks& out);
    void derive_for(std::span<const Job> jobs, OaepHash oaep, const Work& work);
    void compare_name(KeyId key, const KeyName& name);
    [[nodiscard]] std::optional<MachineRecord> record_for(const Job& job, const Work& work,
                                                          const WrappedSteks& steks,
                                                          std::vector<std::uint8_t> wrapped_key);
    [[nodiscard]] Engine::Item item_of(const Party& machine, const MachineRecord& record) const;
    void note(const std::string& name, const PairId& pair);
    void put(const Party& machine, const MachineRecord& record);

    LocationDesk* desk_;
    HourlyShelf* hours_;
    PairShelf pairs_;
    std::set<std::string> there_;  ///< names in the engine, at the beginning of the run
    /// What `settled_` holds true for: with another list, who has signed may be retired; and once an epoch
    /// what was damaged since is found.
    struct Premises {
        std::uint64_t fleet_serial = 0, machines_serial = 0, epoch = 0;
        bool operator==(const Premises&) const = default;
    };
    Premises premises_;
    /// Records that were found good or made here, and the pair that each is for (zero: revoked).
    std::map<std::string, PairId> settled_;
    std::map<KeyId, KeyName> names_;
    std::uint64_t last_epoch_ = 0;
    std::size_t machines_ = 0;
};

}  // namespace stek::fleet
