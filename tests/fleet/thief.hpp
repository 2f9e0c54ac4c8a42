// What a thief can do who has taken all that the hosts of a location hold. He has the engine anyway, for it
// is public, and sees what goes over the wire; and he has this project's code.
#pragma once

#include "daemon/fleet/bundle.hpp"
#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/fleet_tokens.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/fleet/record.hpp"
#include "tests/token/known_keys.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace stek::tests {

using Buffer = std::vector<std::uint8_t>;

/// What there is of a location outside of it.
class Prey {
  public:
    Prey(std::string location, const fleet::Point& root) : location_(std::move(location)), root_(root) {}

    /// Adds what the engine holds now: it does not keep it.
    void look(fleet::Engine& engine);
    void add_ticket(Buffer ticket) { tickets.push_back(std::move(ticket)); }

    struct Seen {
        fleet::Bundle bundle;
        fleet::PartyNumber origin = 0;
    };
    std::map<fleet::KeyId, Seen> bundles;  ///< for all locations
    std::set<fleet::PartyNumber> vaults;   ///< the location's
    std::vector<fleet::MachineRecord> records;
    std::vector<Buffer> tickets;

    [[nodiscard]] std::size_t shares() const;  ///< for its vaults, in all bundles
    [[nodiscard]] fleet::FleetId fleet() const { return fleet::fleet_id_of(root_); }

  private:
    std::string location_;
    fleet::Point root_;
    std::set<fleet::Digest> seen_;
};

struct Tries {
    std::size_t made = 0, opened = 0;
    void count(bool is_open) {
        ++made;
        opened += is_open ? 1 : 0;
    }
};

/// What became of it, and of how many keys there were to try.
struct Haul {
    std::size_t hpke_keys = 0;  ///< sealing keys and pre-keys
    std::size_t pairs = 0;      ///< in ticket tokens
    std::size_t steks = 0;      ///< derived by the chain, or in a key ring
    std::size_t derived = 0;    ///< of them, by the chain
    Tries shares;               ///< of bundles: each key on each share
    Tries admission_keys;       ///< each key on each record
    Tries wrapped_keys;         ///< each pair on each record
    Tries names;                ///< each derived name, whether it is one of the records'
    Tries tickets;              ///< each STEK on each ticket
    std::map<fleet::KeyId, std::size_t> opened_shares;  ///< by bundle
    std::uint64_t last_pre_key = 0;                     ///< that was there
};

class Thief {
  public:
    /// Of the copies of vaults and machines.
    explicit Thief(std::vector<std::string> configs) : configs_(std::move(configs)) {}
    /// Everything on everything. One at a time in a process.
    [[nodiscard]] Haul rob(const Prey& prey) const;

  private:
    std::vector<std::string> configs_;
    RsaPair own_;
};

}  // namespace stek::tests
