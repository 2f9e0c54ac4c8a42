// What the parts of a location share; not for those who use one.
#pragma once

#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/identity.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/fleet/location_memory.hpp"
#include "daemon/fleet/vault_work.hpp"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace stek::fleet {

/// What a person should look into, each said once: a run comes every minute and sees the same again.
class Alarms {
  public:
    void begin_run() noexcept { news_.clear(); }
    void raise(const std::string& text);
    [[nodiscard]] const std::vector<std::string>& news() const noexcept { return news_; }

  private:
    std::set<std::string> told_;
    std::vector<std::string> news_;
};

/// Values asked for at a time: what an engine answers is then in memory at once.
inline constexpr std::size_t read_together = 64;

/// In blocks of at most `size`.
template <class T, class Act>
void in_blocks(std::span<T> all, std::size_t size, const Act& act) {
    for (; !all.empty(); all = all.subspan(std::min(all.size(), size)))
        act(all.first(std::min(all.size(), size)));
}

struct ListedMachine {
    const Party* party;
    std::size_t at;  ///< its place in the list
};

class LocationDesk {
  public:
    LocationDesk(const Identity& self, KnownLists& lists, Engine& engine, VaultWork& vault,
                 LocationMemory memory, std::function<void(const LocationMemory&)> save);

    const Identity& self;
    KnownLists& lists;
    Engine& engine;
    VaultWork& vault;
    Alarms alarms;

    [[nodiscard]] const LocationMemory& memory() const noexcept { return memory_; }
    /// In effect once it is durable: if it cannot be saved, the memory is as it was.
    void remember(LocationMemory changed);
    [[nodiscard]] bool is_revoked(KeyId key) const { return memory_.revoked.contains(key); }
    /// For one record.
    std::uint64_t next_counter();
    /// This party's number. Throws FrameError if it is not in the list, or there is no list yet.
    [[nodiscard]] PartyNumber own_number() const;
    [[nodiscard]] std::string bucket() const { return bucket::of_location(self.location); }
    /// What the engine has. Nothing, too, for what is larger than any value: that is told, and must not keep
    /// the location from the rest. Throws EngineError.
    std::optional<std::vector<std::uint8_t>> find(const std::string& bucket, const std::string& key);

  private:
    LocationMemory memory_;
    std::function<void(const LocationMemory&)> save_;
    std::uint64_t next_counter_;
};

}  // namespace stek::fleet
