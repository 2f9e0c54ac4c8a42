// A location's vault: opens bundles, derives STEKs, wraps them to each machine.
//
// Several vaults of a location need no leader: what they derive is the same, and who is first with a
// machine's record has done it for all. In a fleet the chain's index is the epoch.
#pragma once

#include "daemon/fleet/bundle.hpp"
#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/identity.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/fleet/record.hpp"
#include "daemon/plan.hpp"
#include "provider/schedule.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace stek::fleet {

/// What a location does with its vault token: the seam that unit tests fill in. All may throw pkcs11 errors.
class VaultWork {
  public:
    virtual ~VaultWork() = default;
    /// The chain's epoch; nothing before the ceremony.
    virtual std::optional<std::uint64_t> chain_epoch() = 0;
    virtual void advance_chain(std::uint64_t to_epoch) = 0;
    /// Pre-keys in the token, by epoch; made, found, destroyed.
    virtual std::vector<std::uint64_t> pre_keys() = 0;
    virtual TokenKey make_pre_key(std::uint64_t epoch) = 0;
    virtual std::optional<TokenKey> pre_key(std::uint64_t epoch) = 0;
    virtual void destroy_pre_key(std::uint64_t epoch) = 0;
    /// K of (epoch, revision), by STEK-KDF, wrapped to one public key. Same name for each.
    virtual void derive(KeyId key, const HourlyKey& hourly, Bytes spki, OaepHash oaep, WrappedStek& out) = 0;
};

/// What a location must remember: a file in its state directory. Not secret, but it is what keeps a replay
/// from being believed.
struct LocationMemory {
    std::map<KeyId, Digest> pinned;  ///< frame_hash() of the bundle that was first derived with
    std::uint64_t counter = 0;       ///< of the last record that this vault has signed
    std::vector<KeyId> revoked;      ///< until their open window is over
};
std::vector<std::uint8_t> encode_memory(const LocationMemory& memory);  ///< JSON
LocationMemory decode_memory(Bytes file);                               ///< std::runtime_error

class Location {
  public:
    /// `save` makes the memory durable before it returns; whatever it throws ends the run before anything
    /// that has to be remembered is done.
    Location(const Identity& self, KnownLists& lists, Engine& engine, VaultWork& vault, LocationMemory memory,
             std::function<void(const LocationMemory&)> save);

    static constexpr std::uint64_t ahead = 4;  ///< epochs: accepted, and pre-keys made

    /// Whatever is due at `now`: pre-keys for the current epoch and `ahead` more are made and published;
    /// bundles from the chain's epoch to now + ahead are verified, compared with what is pinned, opened,
    /// pinned; for each active machine and each pair that it offers, a record is signed and left in the
    /// engine, unless one for that pair is there; when an epoch is over and a later one has a bundle, the
    /// chain moves on and that epoch's pre-key goes. Hourly keys are held in memory for as long as their
    /// epoch can be derived. Throws EngineError, FrameError (not in the list), pkcs11 errors; what was done
    /// stays.
    void run(const daemon::Now& now, const daemon::Policy& policy);
    /// Revokes: signs a record without a key for each machine, and derives it no more.
    void revoke(const std::vector<KeyId>& keys);

    struct Report {
        std::uint64_t last_epoch = 0;  ///< derived
        std::size_t machines = 0, pre_keys_left = 0;
        std::vector<std::string>
            alarms;  ///< another bundle for a pinned (epoch, revision), a share that does not open...
    };
    [[nodiscard]] const Report& report() const noexcept { return report_; }

  private:
    const Identity* self_;
    KnownLists* lists_;
    Engine* engine_;
    VaultWork* vault_;
    LocationMemory memory_;
    std::function<void(const LocationMemory&)> save_;
    std::map<KeyId, HourlyKey> hourly_;
    Report report_;
};

}  // namespace stek::fleet
