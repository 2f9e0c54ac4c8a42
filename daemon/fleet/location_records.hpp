// The records that a location's vault leaves for its machines.
#pragma once

#include "daemon/fleet/location_desk.hpp"
#include "daemon/fleet/location_hours.hpp"
#include "daemon/fleet/location_pairs.hpp"
#include "daemon/fleet/record.hpp"
#include "daemon/fleet/record_ledger.hpp"

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
        ListedMachine machine;
        MachinePair pair;
    };
    struct Work {
        KeyId key;
        Window window;
        std::uint64_t period = 0, first_epoch_of_pair = 0;
    };

    [[nodiscard]] std::set<KeyId> revoked(std::int64_t now, const daemon::Policy& policy) const;
    [[nodiscard]] std::vector<Work> due(std::int64_t now, const daemon::Policy& policy) const;
    void begin_run(const std::vector<Work>& works, std::int64_t now, const daemon::Policy& policy);
    void serve_key(const Work& work);
    void revoke_everywhere(KeyId key, const daemon::Policy& policy);
    [[nodiscard]] std::vector<ListedMachine> active() const;
    std::optional<MachinePair> pair_for(const ListedMachine& machine, const Work& work);
    [[nodiscard]] std::vector<ListedMachine> in_state(RecordLedger::State state, KeyId key);
    void read(std::span<const ListedMachine> machines, KeyId key);
    void read(const ListedMachine& machine, KeyId key);
    RecordLedger::Entry judge(Bytes frame, const ListedMachine& machine, KeyId key);
    void adopt_revocation(KeyId key);
    bool derive(std::span<const Job> jobs, OaepHash oaep, KeyId key, WrappedSteks& out);
    void derive_for(std::span<const Job> jobs, OaepHash oaep, const Work& work);
    void compare_name(KeyId key, const KeyName& name);
    [[nodiscard]] MachineRecord record_for(const Job& job, const Work& work, const WrappedSteks& steks,
                                           std::vector<std::uint8_t> wrapped_key);
    [[nodiscard]] Engine::Item item_of(const Party& machine, const MachineRecord& record) const;

    LocationDesk* desk_;
    HourlyShelf* hours_;
    OfferedPairs pairs_;
    RecordLedger ledger_;
    std::map<KeyId, KeyName> names_;
    std::uint64_t last_epoch_ = 0;
    std::size_t machines_ = 0;
};

}  // namespace stek::fleet
