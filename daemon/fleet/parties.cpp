#include "daemon/fleet/parties.hpp"

#include "daemon/fleet/durable_file.hpp"
#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/list_changes.hpp"
#include "daemon/log.hpp"
#include "provider/ring_file.hpp"

#include <exception>
#include <filesystem>
#include <stdexcept>

namespace stek::fleet {
namespace {

using daemon::log;
using daemon::Now;

constexpr char location_file[] = "location.json", machine_file[] = "machine.json";
constexpr std::size_t largest_memory = std::size_t{16} << 20;

template <class Memory, class Decode>
Memory load(const std::string& directory, const char* name, const Decode& decode) {
    const auto path = directory + "/" + name;
    if (!std::filesystem::exists(path))
        return {};
    const auto file = read_up_to(path, largest_memory);
    try {
        return decode(file);
    } catch (const std::runtime_error& error) {
        throw std::runtime_error(
            path + " cannot be understood: " + error.what() +
            "; without it old records would be believed again. Restore it, or move it away "
            "and revoke what must not come back");
    }
}

template <class Memory>
auto saver(const std::string& directory, const char* name) {
    return
        [directory, name](const Memory& memory) { replace_durably(directory, name, encode_memory(memory)); };
}

std::string text_of(KeyId key) {
    return bundle_key(key);
}

}  // namespace

struct Parties::OriginRole {
    OriginRole(const Premises& premises, const RoleToken& role)
        : self(identity_of(role, premises.lists.fleet_id(), Role::origin, premises.config.origin->name, "")),
          origin(self, premises.lists, premises.engine, premises.bundles,
                 [&session = role.token->session](std::span<std::uint8_t> out) { session.random(out); }) {}
    Identity self;
    Origin origin;
    std::set<std::string> told;
    std::set<PartyNumber> silent;  ///< vaults that the last hourly key was sealed to without a pre-key
};

struct Parties::LocationRole {
    LocationRole(const Premises& premises, const RoleToken& role, const daemon::Deriver& deriver)
        : self(identity_of(role, premises.lists.fleet_id(), Role::vault, premises.config.location->vault,
                           premises.config.location->name)),
          vault(role.token->session, *role.keys, deriver),
          location(self, premises.lists, premises.engine, vault,
                   load<LocationMemory>(premises.state, location_file, decode_location_memory),
                   saver<LocationMemory>(premises.state, location_file)) {}
    Identity self;
    LocationVault vault;
    Location location;
    std::set<std::string> told;
};

struct Parties::MachineRole {
    MachineRole(const Premises& premises, const RoleToken& role, OpenToken& token)
        : self(identity_of(role, premises.lists.fleet_id(), Role::machine, premises.config.machine->name,
                           premises.config.machine->location)),
          ticket(make_ticket_work(token.session, premises.readers,
                                  {premises.config.machine->keyring, token.directory,
                                   premises.config.ring_version, premises.config.machine->private_pairs},
                                  premises.progress)),
          machine(self, premises.lists, premises.engine, *ticket,
                  load<MachineMemory>(premises.state, machine_file, decode_machine_memory),
                  saver<MachineMemory>(premises.state, machine_file)) {}
    Identity self;
    std::unique_ptr<TicketWork> ticket;
    Machine machine;
    std::set<std::string> told;
};

Parties::Parties(const Premises& premises, FleetTokens& tokens) : premises_(premises) {
    if (const auto* role = tokens.origin())
        origin_ = std::make_unique<OriginRole>(premises_, *role);
    if (const auto* role = tokens.location())
        location_ = std::make_unique<LocationRole>(premises_, *role, *tokens.deriver());
    if (const auto* role = tokens.machine())
        machine_ = std::make_unique<MachineRole>(premises_, *role, *tokens.ticket());
}

Parties::~Parties() = default;

const Origin* Parties::origin() const noexcept {
    return origin_ ? &origin_->origin : nullptr;
}
const Location* Parties::location() const noexcept {
    return location_ ? &location_->location : nullptr;
}
const Machine* Parties::machine() const noexcept {
    return machine_ ? &machine_->machine : nullptr;
}
const KeyRing* Parties::ring() const noexcept {
    return machine_ ? &machine_->machine.ring() : nullptr;
}

// What stays wrong is seen in each run, and said once.
void Parties::tell(const std::string& who, const std::vector<std::string>& alarms,
                   std::set<std::string>& told) {
    for (const auto& alarm : alarms)
        if (!told.contains(alarm))
            log(LOG_WARNING, std::string(who).append(": ").append(alarm));
    told = {alarms.begin(), alarms.end()};
}

// Not so at each hourly key: a vault may be off for a day.
void Parties::tell_silent_vaults() {
    const auto& silent = origin_->origin.report().without_pre_key;
    for (const auto number : silent)
        if (const Party* vault = premises_.lists.fleet()->find(number);
            vault != nullptr && !origin_->silent.contains(number))
            log(LOG_WARNING,
                "vault " + vault->name +
                    " leaves no pre-keys: hourly keys are sealed to its long-lived key, and a copy of "
                    "its token opens them. If it is lost, retire it");
    origin_->silent = {silent.begin(), silent.end()};
}

void Parties::run(const Now& now) {
    std::exception_ptr trouble;
    const auto attempt = [&](const auto& act) {
        try {
            act();
        } catch (...) {
            if (!trouble)
                trouble = std::current_exception();
        }
    };
    const auto& policy = premises_.config.policy;
    if (origin_) {
        attempt([&] { origin_->origin.run(now, policy); });
        tell("origin " + origin_->self.name, origin_->origin.report().alarms, origin_->told);
        tell_silent_vaults();
    }
    if (location_) {
        attempt([&] { location_->location.run(now, policy); });
        tell("location " + location_->self.location, location_->location.report().alarms, location_->told);
        attempt([&] { chain_epoch_ = location_->vault.chain_epoch(); });
    }
    if (machine_)
        attempt([&] { run_machine(now); });
    if (trouble)
        std::rethrow_exception(trouble);
}

void Parties::run_machine(const Now& now) {
    auto& machine = machine_->machine;
    std::shared_ptr<const KeyRing> there;
    std::string trouble;
    try {
        there = read_ring_file(premises_.config.machine->keyring);
    } catch (const RingError& error) {
        trouble = error.what();
    }
    if (!trouble.empty() && trouble != ring_trouble_)
        log(LOG_WARNING, "the key ring is made anew: " + trouble,
            {{"STEK_KEYRING", premises_.config.machine->keyring}});
    ring_trouble_ = trouble;
    std::exception_ptr failed;
    try {
        machine.run(now, premises_.config.policy, there);
    } catch (...) {
        failed = std::current_exception();
    }
    for (const auto key : machine.report().taken)
        log(LOG_INFO, "key " + text_of(key) + " taken",
            {{"STEK_EPOCH", std::to_string(key.epoch)}, {"STEK_REVISION", std::to_string(key.revision)}});
    for (const auto& retired : machine.report().retired)
        log(retired.revoked ? LOG_NOTICE : LOG_INFO,
            "key " + text_of(retired.key) + " retired: " + retired.why,
            {{"STEK_EPOCH", std::to_string(retired.key.epoch)},
             {"STEK_REVISION", std::to_string(retired.key.revision)}});
    tell("machine " + machine_->self.name, machine.report().alarms, machine_->told);
    if (failed)
        std::rethrow_exception(failed);
}

void Parties::renew(const Now& now) {
    if (!origin_)
        throw std::invalid_argument("no origin");
    origin_->origin.renew(now, premises_.config.policy);
}

std::vector<KeyId> Parties::revoke(const std::function<bool(KeyId)>& which, const Now& now) {
    if (!location_)
        throw std::invalid_argument("no location");
    std::set<KeyId> keys;
    const auto bucket = bucket::of_location(location_->self.location);
    for (const auto& name : premises_.engine.list(bucket, all_records))
        if (const auto key = key_of_record(name); key && which(*key))
            keys.insert(*key);
    std::vector<KeyId> revoked(keys.begin(), keys.end());
    if (!revoked.empty())
        location_->location.revoke(revoked, now, premises_.config.policy);
    return revoked;
}

bool Parties::issue_machines(const PartyList& list) {
    if (!location_)
        throw std::invalid_argument("no location");
    const auto& self = location_->self;
    const Party* own = premises_.lists.fleet() != nullptr ? self.in(*premises_.lists.fleet()) : nullptr;
    if (own == nullptr)
        throw FrameError("vault " + self.name + " is not an active one in the fleet's list");
    return issue_list(premises_.lists, premises_.engine, list,
                      list_frame(self.fleet, own->number, self.signing.key.get(), list));
}

}  // namespace stek::fleet
