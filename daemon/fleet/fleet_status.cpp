#include "daemon/fleet/fleet_status.hpp"

#include "daemon/fleet/bundle_check.hpp"
#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/fleet/record.hpp"
#include "daemon/fleet/root_key.hpp"

#include <algorithm>
#include <map>

namespace stek::fleet {
namespace {

/// Newest first; of more than these nothing new is to be learnt.
constexpr std::size_t most_bundles = 16, most_tries = 4;

using Names = std::vector<std::string>;

class Survey {
  public:
    Survey(const FleetConfig& config, Engine& engine, std::int64_t now)
        : config_(config), engine_(engine), root_(read_root_key(config.root)) {
        status_.now = now;
        status_.epoch = config.policy.epoch_at(now);
        status_.id = fleet_id_of(root_);
        status_.engine = engine.name();
    }
    FleetStatus of(Bytes known);

  private:
    template <class Look>
    void look(const Look& look);
    void look_at_lists(KnownLists& lists, Bytes known);
    void take(KnownLists& lists, Bytes frame, const std::string& where);
    [[nodiscard]] std::optional<std::vector<std::uint8_t>> get(const std::string& bucket,
                                                               const std::string& key) const;
    void look_at_bundles(const KnownLists& lists);
    void look_at_location(const std::string& name, Bytes fleet_list);
    [[nodiscard]] std::size_t pre_keys_of_vault(const KnownLists& lists, const std::string& vault) const;
    [[nodiscard]] bool has_pair(const KnownLists& lists, const Party& machine, const Names& pairs) const;
    [[nodiscard]] std::optional<std::uint64_t> last_epoch_of(const KnownLists& lists, const Party& machine,
                                                             const Names& records) const;
    void judge_location(const LocationStatus& location);
    void problem(std::string text) { status_.problems.push_back(std::move(text)); }

    const FleetConfig& config_;
    Engine& engine_;
    Point root_;
    FleetStatus status_;
    bool reached_ = true;
    bool hidden_ = false;  ///< something was not for this party to see
};

/// Once it is not reached, it is not asked again: each call may take seconds to fail.
template <class Look>
void Survey::look(const Look& look) {
    if (!reached_)
        return;
    try {
        look();
    } catch (const NotGranted&) {
        hidden_ = true;
    } catch (const EngineError& error) {
        reached_ = false;
        problem("the engine (" + status_.engine + ") cannot be reached: " + error.what());
    }
}

FleetStatus Survey::of(Bytes known) {
    KnownLists lists("", root_, "");
    look([&] {
        if (engine_.list(bucket::fleet, "").empty() && engine_.list(bucket::hourly, "").empty())
            problem("the engine (" + status_.engine + ") is empty: it holds no list and no bundle");
    });
    look_at_lists(lists, known);
    if (lists.fleet() == nullptr) {
        problem("no list of this fleet is to be had: nobody is known to be enrolled");
        return std::move(status_);
    }
    status_.serial = lists.fleet()->serial;
    status_.signed_at = lists.fleet()->signed_at;
    look_at_bundles(lists);
    std::map<std::string, bool> locations;
    for (const Party& party : lists.fleet()->parties)
        if (party.role == Role::vault && party.standing == Standing::active)
            locations[party.location] = true;
    for (const auto& [name, there] : locations)
        look_at_location(name, lists.fleet_frame());
    return std::move(status_);
}

void Survey::look_at_lists(KnownLists& lists, Bytes known) {
    if (!known.empty())
        take(lists, known, "at hand");
    look([&] {
        const auto there = get(bucket::fleet, KnownLists::fleet_key);
        if (there && !std::ranges::equal(*there, lists.fleet_frame()))
            take(lists, *there, "in the engine");
        else if (!there && lists.fleet() != nullptr)
            problem("the engine does not hold list " + std::to_string(lists.fleet()->serial) +
                    ", which is the newest known here");
    });
}

void Survey::take(KnownLists& lists, Bytes frame, const std::string& where) {
    try {
        lists.offer(frame);
    } catch (const FrameError& error) {
        problem("the list " + where + " is not used: " + error.what());
    }
}

/// Nothing where there is noise.
std::optional<std::vector<std::uint8_t>> Survey::get(const std::string& bucket,
                                                     const std::string& key) const {
    try {
        return engine_.get(bucket, key);
    } catch (const OversizedValue&) {
        return {};
    }
}

// --- origins ---

void Survey::look_at_bundles(const KnownLists& lists) {
    for (const Party& party : lists.fleet()->parties)
        if (party.role == Role::origin && party.standing == Standing::active)
            status_.origins.push_back({party.name, {}});
    bool current = false;
    look([&] {
        std::vector<KeyId> keys;
        for (const auto& text : engine_.list(bucket::hourly, ""))
            if (const auto key = parse_bundle_key(text))
                keys.push_back(*key);
        std::ranges::sort(keys, std::greater());
        keys.resize(std::min(keys.size(), most_bundles));
        for (const KeyId key : keys) {
            const auto frame = get(bucket::hourly, bundle_key(key));
            const auto checked = frame ? check_bundle(*frame, key, lists, config_.policy) : CheckedBundle{};
            if (checked.worth != Worth::good)
                continue;
            if (!status_.newest_bundle)
                status_.newest_bundle = key;
            current |= key.epoch == status_.epoch;
            const auto& name = lists.fleet()->find(checked.signer)->name;
            const auto origin = std::ranges::find(status_.origins, name, &OriginStatus::name);
            if (origin != status_.origins.end() && !origin->newest_epoch)
                origin->newest_epoch = key.epoch;
        }
    });
    if (!reached_)
        return;
    if (status_.origins.empty())
        problem("no origin is enrolled");
    if (hidden_ || status_.origins.empty())
        return;
    if (!current)
        problem("there is no bundle for epoch " + std::to_string(status_.epoch) + ", the current one");
    for (const auto& origin : status_.origins)
        if (!origin.newest_epoch && !current)
            problem("origin " + origin.name + " is enrolled and silent: no bundle by it is there");
}

// --- locations ---

void Survey::look_at_location(const std::string& name, Bytes fleet_list) {
    LocationStatus location;
    location.name = name;
    hidden_ = false;
    KnownLists lists("", root_, name);
    lists.offer(fleet_list);
    look([&] {
        if (const auto there = get(bucket::of_location(name), KnownLists::machines_key))
            take(lists, *there, "of the machines of location " + name);
    });
    for (const Party& party : lists.fleet()->parties)
        if (party.role == Role::vault && party.standing == Standing::active && party.location == name)
            location.vaults.push_back({party.name, 0});
    look([&] {
        for (auto& vault : location.vaults)
            vault.pre_keys_left = pre_keys_of_vault(lists, vault.name);
        const auto bucket = bucket::of_location(name);
        const auto pairs = engine_.list(bucket, all_pairs), records = engine_.list(bucket, all_records);
        for (const Party& party :
             lists.machines() != nullptr ? lists.machines()->parties : std::vector<Party>{})
            if (party.standing == Standing::active)
                location.machines.push_back(
                    {party.name, last_epoch_of(lists, party, records), has_pair(lists, party, pairs)});
    });
    if (hidden_)
        return;
    for (const auto& machine : location.machines)
        if (machine.last_epoch > location.last_epoch)
            location.last_epoch = machine.last_epoch;
    if (location.last_epoch && *location.last_epoch < status_.epoch)
        location.lag = status_.epoch - *location.last_epoch;
    if (reached_)
        judge_location(location);
    status_.locations.push_back(std::move(location));
}

void Survey::judge_location(const LocationStatus& location) {
    const auto where = " of location " + location.name;
    if (location.machines.empty())
        problem("location " + location.name + " has no machine enrolled");
    else if (!location.last_epoch)
        problem("location " + location.name + " has made no record for its machines");
    else if (location.lag > 0)
        problem("location " + location.name + " is " + std::to_string(location.lag) + " epochs behind");
    for (const auto& vault : location.vaults)
        if (vault.pre_keys_left == 0)
            problem("vault " + vault.name + where +
                    " is enrolled and silent: no pre-key of it is there for this epoch or a later one");
    for (const auto& machine : location.machines)
        if (!machine.has_pair)
            problem("machine " + machine.name + where +
                    " is enrolled and silent: no pair of it is there for this epoch or a later one");
}

std::size_t Survey::pre_keys_of_vault(const KnownLists& lists, const std::string& vault) const {
    std::size_t left = 0;
    for (const auto& name : engine_.list(bucket::pre_keys, fleet::pre_keys_of(vault))) {
        const auto frame = get(bucket::pre_keys, name);
        try {
            const Party* signer = nullptr;
            if (!frame)
                continue;
            const auto key = decode_pre_key(lists.open(*frame, Kind::pre_key, Role::vault, "", signer));
            if (signer->name == vault && key.vault == signer->number && key.epoch >= status_.epoch &&
                name == pre_key_key(vault, key.epoch))
                ++left;
        } catch (const FrameError&) {  // NOLINT(bugprone-empty-catch): noise is no pre-key
        }
    }
    return left;
}

bool Survey::has_pair(const KnownLists& lists, const Party& machine, const Names& pairs) const {
    const auto first = first_epoch_of_pair(status_.epoch, config_.policy);
    const auto prefix = pairs_of(machine.name);
    return std::ranges::any_of(pairs, [&](const std::string& name) {
        if (!name.starts_with(prefix))
            return false;
        const auto frame = get(bucket::of_location(machine.location), name);
        try {
            const Party* signer = nullptr;
            if (!frame)
                return false;
            const auto pair =
                decode_pair(lists.open(*frame, Kind::pair, Role::machine, machine.location, signer));
            return signer->number == machine.number && pair.machine == machine.number &&
                   pair.epoch >= first && name == pair_key(machine.name, pair.epoch);
        } catch (const FrameError&) {
            return false;
        }
    });
}

std::optional<std::uint64_t> Survey::last_epoch_of(const KnownLists& lists, const Party& machine,
                                                   const Names& records) const {
    const auto prefix = records_of(machine.name);
    std::vector<KeyId> keys;
    for (const auto& name : records)
        if (const auto key = name.starts_with(prefix) ? key_of_record(name) : std::nullopt)
            keys.push_back(*key);
    std::ranges::sort(keys, std::greater());
    keys.resize(std::min(keys.size(), most_tries));
    for (const KeyId key : keys) {
        const auto frame = get(bucket::of_location(machine.location), record_key(machine.name, key));
        try {
            const Party* signer = nullptr;
            if (!frame)
                continue;
            const auto record =
                decode_record(lists.open(*frame, Kind::record, Role::vault, machine.location, signer));
            if (record.machine == machine.number && record.key == key && !record.revoked)
                return key.epoch;
        } catch (const FrameError&) {  // NOLINT(bugprone-empty-catch): noise is no record
        }
    }
    return {};
}

}  // namespace

std::size_t LocationStatus::pre_keys_left() const noexcept {
    const auto fewest = std::ranges::min_element(vaults, {}, &VaultStatus::pre_keys_left);
    return fewest != vaults.end() ? fewest->pre_keys_left : 0;
}

FleetStatus gather_fleet_status(const FleetConfig& config, Engine& engine, Bytes known, std::int64_t now) {
    return Survey(config, engine, now).of(known);
}

}  // namespace stek::fleet
