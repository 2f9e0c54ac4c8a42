#include "daemon/fleet/bundle_check.hpp"

#include "daemon/fleet/engine_keys.hpp"

#include <algorithm>

namespace stek::fleet {
namespace {

/// Throws FrameError. Retired origins are let through, and told apart later.
const Party& signing_origin(PartyNumber number, const KnownLists& lists) {
    const Party* party = lists.fleet() != nullptr ? lists.fleet()->find(number) : nullptr;
    if (party == nullptr || party->role != Role::origin)
        throw FrameError("signed by party " + std::to_string(number) + ", which is no origin");
    return *party;
}

bool has_window_of_its_epoch(const Bundle& bundle, const daemon::Policy& policy) {
    return bundle.not_before == begin_of(bundle.key.epoch, policy) &&
           bundle.not_after == begin_of(bundle.key.epoch + 1, policy);
}

}  // namespace

std::int64_t begin_of(std::uint64_t epoch, const daemon::Policy& policy) noexcept {
    return static_cast<std::int64_t>(epoch * policy.period);
}

CheckedBundle check_bundle(Bytes frame, KeyId key, const KnownLists& lists, const daemon::Policy& policy) {
    CheckedBundle checked;
    try {
        const auto head = peek_frame(frame, Kind::bundle, lists.fleet_id());
        const Party& origin = signing_origin(head.signer, lists);
        checked.bundle = decode_bundle(open_frame(frame, Kind::bundle, lists.fleet_id(), origin.signing_key));
        if (checked.bundle.key != key)
            throw FrameError("bundle " + bundle_key(checked.bundle.key) + " in another's place");
        checked.signer = origin.number;
        checked.worth = Worth::spent;
        if (origin.standing != Standing::active)
            checked.why = "signed by origin " + origin.name + ", which is retired";
        else if (!has_window_of_its_epoch(checked.bundle, policy))
            checked.why = "origin " + origin.name + " has another period";
        else
            checked.worth = Worth::good;
    } catch (const FrameError& error) {
        checked.why = error.what();
    }
    return checked;
}

bool is_for_active_only(const Bundle& bundle, const PartyList& list) {
    return std::ranges::all_of(bundle.shares, [&list](const SealedHourly& share) {
        const Party* vault = list.find(share.vault);
        return vault != nullptr && vault->role == Role::vault && vault->standing == Standing::active;
    });
}

}  // namespace stek::fleet
