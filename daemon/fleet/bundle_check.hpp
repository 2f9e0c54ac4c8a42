// What a frame is worth that is found under a bundle's key, or in a file.
#pragma once

#include "daemon/fleet/bundle.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/plan.hpp"

#include <cstdint>
#include <string>

namespace stek::fleet {

enum class Worth : std::uint8_t {
    good,   ///< an active origin's, for this very key and its epoch's window
    spent,  ///< an origin in the list did sign it for this key, but it is of no use: the origin is retired,
            ///< or the window is none of the policy's. Others may have derived with it when it was good.
    noise,  ///< nobody can ever have derived with it
};

struct CheckedBundle {
    Worth worth = Worth::noise;
    std::string why;         ///< it is not good
    PartyNumber signer = 0;  ///< 0 for noise
    Bundle bundle;           ///< unless it is noise
};

/// Signature first, as always. Any bytes may be given.
CheckedBundle check_bundle(Bytes frame, KeyId key, const KnownLists& lists, const daemon::Policy& policy);

/// Whether all its shares are for vaults that are active in the list.
bool is_for_active_only(const Bundle& bundle, const PartyList& list);

/// Unix seconds.
std::int64_t begin_of(std::uint64_t epoch, const daemon::Policy& policy) noexcept;

}  // namespace stek::fleet
