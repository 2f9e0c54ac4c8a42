// What a machine must remember: a file in its state directory. The ring and the pairs die with the boot, this
// does not. Nothing in it is secret, but it is what keeps a replay from being believed.
#pragma once

#include "daemon/fleet/frame.hpp"
#include "daemon/plan.hpp"
#include "provider/key_ring.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace stek::fleet {

/// A pair of the ticket token that this machine made, and may therefore offer.
struct OwnPair {
    PairId id{};
    std::uint64_t slot_epoch = 0;  ///< the first epoch that it is for
    std::vector<std::uint8_t> public_key;
    bool operator==(const OwnPair&) const = default;
};

/// The newest record of a key that was taken from one vault.
struct Taken {
    std::uint64_t counter = 0;
    Digest record{};  ///< frame_hash(): a lost ring takes the very same once more, and no other
    bool operator==(const Taken&) const = default;
};

struct KnownKey {
    std::int64_t open_until = 0;  ///< Unix seconds
    /// Seconds of CLOCK_BOOTTIME of this boot: however often the key is taken, it is gone then. None: not
    /// taken in this boot.
    std::optional<std::uint64_t> gone_by;
    bool revoked = false;
    std::map<PartyNumber, Taken> taken;  ///< by the vault that signed
    bool operator==(const KnownKey&) const = default;
};

struct MachineMemory {
    std::string boot_id, token_serial;  ///< that the pairs are of
    std::uint64_t generation = 0;       ///< of the last ring
    std::vector<OwnPair> pairs;         ///< in the order that they were made
    std::map<daemon::KeyId, KnownKey> keys;
    bool operator==(const MachineMemory&) const = default;

    [[nodiscard]] const KnownKey* find(daemon::KeyId key) const noexcept;
    [[nodiscard]] const OwnPair* find(const PairId& id) const noexcept;
    [[nodiscard]] bool is_revoked(daemon::KeyId key) const noexcept;
};

std::vector<std::uint8_t> encode_memory(const MachineMemory& memory);  ///< JSON
/// Throws std::runtime_error for all that encode_memory() would not have written.
MachineMemory decode_machine_memory(Bytes file);

}  // namespace stek::fleet
