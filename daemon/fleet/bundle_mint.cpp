#include "daemon/fleet/bundle_mint.hpp"

#include "daemon/error_queue.hpp"
#include "daemon/fleet/bundle_check.hpp"
#include "daemon/fleet/engine_keys.hpp"
#include "daemon/hpke_error.hpp"

#include <optional>

namespace stek::fleet {
namespace {

bool is_usable(const Point& key) {
    const EmptyQueue queue;
    try {
        return hpke::parse_point(key, "a sealing key") != nullptr;
    } catch (const hpke::Error&) {
        return false;
    }
}

/// Signed by the vault itself, for this epoch. Throws FrameError with what is wrong.
PreKey open_pre_key(Bytes frame, const Party& vault, std::uint64_t epoch, const KnownLists& lists) {
    const Party* signer = nullptr;
    const PreKey pre_key =
        decode_pre_key(lists.open(frame, Kind::pre_key, Role::vault, vault.location, signer));
    if (signer->number != vault.number || pre_key.vault != vault.number)
        throw FrameError("pre-key: another vault's");
    if (pre_key.epoch != epoch)
        throw FrameError("pre-key: for epoch " + std::to_string(pre_key.epoch));
    return pre_key;
}

std::optional<Point> pre_key_of(const Party& vault, std::uint64_t epoch, const KnownLists& lists,
                                Engine& engine, std::vector<std::string>& troubles) {
    // In a share, 0 says that there was none.
    if (static_cast<std::uint32_t>(epoch) == 0)
        return {};
    const auto key = pre_key_key(vault.name, epoch);
    try {
        if (const auto frame = engine.get(bucket::pre_keys, key))
            return open_pre_key(*frame, vault, epoch, lists).key;
    } catch (const FrameError& error) {
        troubles.push_back("pre-key " + key + " is not used: " + error.what());
    } catch (const OversizedValue& error) {
        troubles.push_back("pre-key " + key + " is not used: " + error.what());
    }
    return {};
}

void add(Recipients& recipients, const Party& vault, std::uint64_t epoch,
         const std::optional<Point>& pre_key) {
    if (pre_key) {
        recipients.all.push_back({vault.number, static_cast<std::uint32_t>(epoch), *pre_key});
    } else if (is_usable(vault.sealing_key)) {
        recipients.all.push_back({vault.number, 0, vault.sealing_key});
        recipients.without_pre_key.push_back(vault.number);
    } else {
        recipients.troubles.push_back("vault " + vault.name + " gets nothing: its sealing key is no point");
    }
}

}  // namespace

Recipients recipients_for(std::uint64_t epoch, const KnownLists& lists, Engine& engine) {
    Recipients found;
    if (lists.fleet() == nullptr)
        return found;
    std::vector<const Party*> vaults;
    std::vector<std::string> keys;
    for (const Party& party : lists.fleet()->parties)
        if (party.role == Role::vault && party.standing == Standing::active) {
            vaults.push_back(&party);
            keys.push_back(pre_key_key(party.name, epoch));
        }
    engine.read_ahead(bucket::pre_keys, keys);
    for (const Party* vault : vaults)
        add(found, *vault, epoch, pre_key_of(*vault, epoch, lists, engine, found.troubles));
    return found;
}

std::vector<std::uint8_t> mint(KeyId key, const Digest& before, const std::vector<Recipient>& recipients,
                               const Identity& self, PartyNumber own, const daemon::Policy& policy,
                               const FillRandom& fill) {
    Bundle bundle;
    bundle.key = key;
    bundle.not_before = begin_of(key.epoch, policy);
    bundle.not_after = begin_of(key.epoch + 1, policy);
    bundle.before = before;
    {
        HourlyKey hourly;  // wiped at the end of this block, before the token is asked to sign
        fill(hourly.span());
        seal_shares(bundle, self.fleet, own, hourly, recipients);
    }
    return self.sign(Kind::bundle, own, encode_bundle(bundle));
}

}  // namespace stek::fleet
