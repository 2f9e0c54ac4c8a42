#include "tests/bench/large_fleet.hpp"

#include "daemon/fleet/durable_file.hpp"
#include "daemon/fleet/list_changes.hpp"
#include "daemon/ring_place.hpp"
#include "provider/ring_file.hpp"
#include "tests/unit/memory_vault.hpp"
#include "tests/unit/sample_fleet.hpp"

#include <set>
#include <stdexcept>

#include <openssl/rand.h>

namespace stek::tests {

using namespace fleet;

namespace {

constexpr std::uint64_t first_epoch = 500'000, first_boot_time = 1'000'000;
constexpr std::int64_t into_the_epoch = 60;
constexpr daemon::Policy hourly{3600, 7200};
constexpr auto limit = std::chrono::seconds(120);
/// As open_engine() has it.
constexpr std::int64_t keep_s = 7200 + 24 * 3600;

void fill(std::span<std::uint8_t> bytes) {
    if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
        throw std::runtime_error("no random bytes");
}

const test::Octets& public_key() {
    static const auto key = test::SampleFleet::rsa_spki(3072);
    return key;
}
constexpr std::size_t wrapped_size = 3072 / 8;

/// A vault's, whose wrapped keys are as large as an RSA-3072 pair makes them.
class SizedVault final : public MemoryVault {
  public:
    using MemoryVault::MemoryVault;
    void derive(KeyId key, const HourlyKey& hourly, std::span<const Bytes> spkis, OaepHash oaep,
                WrappedSteks& out) override {
        MemoryVault::derive(key, hourly, spkis, oaep, out);
        for (auto& wrapped : out.wrapped_keys)
            wrapped.resize(wrapped_size, wrapped.back());
    }
};

/// Pairs are names; the ring is a file.
class RingTicket final : public TicketWork {
  public:
    explicit RingTicket(std::string path) : path_(std::move(path)) {}

    Moments in_place;

    std::string boot_id() override { return "boot"; }
    std::string token_serial() override { return "0123456789abcdef"; }
    std::vector<PairId> pairs() override { return {pairs_.begin(), pairs_.end()}; }
    OwnPair make_pair(std::uint64_t slot_epoch) override {
        PairId id{};
        fill(id);
        pairs_.insert(id);
        return {id, slot_epoch, public_key()};
    }
    void destroy_pair(const PairId& id) override { pairs_.erase(id); }
    OaepHash oaep() override { return OaepHash::sha1; }
    void publish(const KeyRing& ring) override {
        daemon::publish_ring(ring, path_, 1, readers_);
        for (const auto& record : ring.records)
            in_place.note_first({record->epoch, record->revision});
    }

  private:
    std::string path_;
    daemon::Readers readers_{{}};
    std::set<PairId> pairs_;
};

template <class Memory>
auto saver(const std::string& directory) {
    return [directory](const Memory& memory) {
        replace_durably(directory, "memory.json", encode_memory(memory));
    };
}

std::string numbered(const std::string& what, unsigned number) {
    return what + "-" + std::to_string(number);
}

}  // namespace

/// All parties' clocks. Keys' epochs go by, and nobody waits for hours.
class LargeFleet::Clock {
  public:
    [[nodiscard]] std::uint64_t epoch() const noexcept { return epoch_; }
    void begin_epoch() noexcept { ++epoch_; }
    [[nodiscard]] daemon::Now now() const noexcept {
        const std::uint64_t epoch = epoch_;
        return {static_cast<std::int64_t>(epoch * hourly.period) + into_the_epoch,
                first_boot_time + (epoch - first_epoch) * hourly.period};
    }

  private:
    std::atomic<std::uint64_t> epoch_{first_epoch};
};

/// What is the same for each; the work comes before the thread, and outlives it.
struct LargeFleet::OriginAtWork {
    OriginAtWork(LargeFleet& in, const FleetMember& member, const NatsMember& connection)
        : fleet(in),
          state(in.workspace_.subdirectory("origin")),
          engine(in.open(connection), in.pulse_),
          lists(state, in.fleet_.root(), ""),
          store(state),
          origin(member.self, lists, engine, store, fill),
          party(in.pulse_, engine, {bucket::fleet, bucket::pre_keys, bucket::hourly}, [this] { run(); }) {}
    void run() { origin.run(fleet.clock_->now(), hourly); }
    LargeFleet& fleet;
    std::string state;
    NotingEngine engine;
    KnownLists lists;
    BundleStore store;
    Origin origin;
    WaitingParty party;
};

struct LargeFleet::VaultAtWork {
    VaultAtWork(LargeFleet& in, const FleetMember& member, const NatsMember& connection)
        : fleet(in),
          state(in.workspace_.subdirectory("vault")),
          engine(in.open(connection), in.pulse_),
          lists(state, in.fleet_.root(), member.self.location),
          vault("chain key of " + member.self.location, first_epoch),
          location(member.self, lists, engine, vault, {}, saver<LocationMemory>(state)),
          party(in.pulse_, engine,
                {bucket::fleet, bucket::pre_keys, bucket::hourly, bucket::of_location(member.self.location)},
                [this] { run(); }) {}
    void run() { location.run(fleet.clock_->now(), hourly); }
    LargeFleet& fleet;
    std::string state;
    NotingEngine engine;
    KnownLists lists;
    SizedVault vault;
    Location location;
    WaitingParty party;
};

struct LargeFleet::MachineAtWork {
    MachineAtWork(LargeFleet& in, const FleetMember& member, const NatsMember& connection)
        : fleet(in),
          state(in.workspace_.subdirectory("machine")),
          ring(state + "/ring"),
          engine(in.open(connection), in.pulse_),
          lists(state, in.fleet_.root(), member.self.location),
          ticket(ring),
          machine(member.self, lists, engine, ticket, {}, saver<MachineMemory>(state)),
          party(in.pulse_, engine, {bucket::fleet, bucket::of_location(member.self.location)},
                [this] { run(); }) {}
    void run() { machine.run(fleet.clock_->now(), hourly, read_ring_file(ring)); }
    LargeFleet& fleet;
    std::string state, ring;
    NotingEngine engine;
    KnownLists lists;
    RingTicket ticket;
    Machine machine;
    WaitingParty party;
};

std::unique_ptr<Engine> LargeFleet::open(const NatsMember& member) const {
    auto settings = cluster_->settings({member});
    settings.keep_s = keep_s;
    return make_nats_engine(std::move(settings));
}

LargeFleet::LargeFleet(Size size) : size_(size), clock_(std::make_unique<Clock>()) {
    struct Place {
        FleetMember* vault;
        std::vector<FleetMember*> machines;
    };
    std::vector<Place> places;
    std::vector<NatsAccess> grants;
    const auto granted = [&grants](const NatsParty& party) {
        grants.push_back(access_of(party));
        return party;
    };
    const auto root = granted({NatsRole::root, "root", ""});
    const auto bystander = granted({NatsRole::vault, "bystander", bystanders_location});
    auto& origin = fleet_.add_origin("origin-1");
    const auto origins = granted({NatsRole::origin, origin.self.name, ""});
    const auto party_of = [&](const FleetMember& member) {
        const auto role = member.self.role == Role::vault ? NatsRole::vault : NatsRole::machine;
        return NatsParty{role, member.self.name, member.self.location};
    };
    for (unsigned i = 1; i <= size.locations; ++i) {
        const auto location = numbered("city", i);
        auto& place = places.emplace_back(Place{&fleet_.add_vault(numbered("vault", i), location), {}});
        (void)granted(party_of(*place.vault));
        for (unsigned k = 1; k <= size.machines; ++k) {
            place.machines.push_back(&fleet_.add_machine(numbered("web", k), location));
            (void)granted(party_of(*place.machines.back()));
        }
    }
    cluster_ = std::make_unique<NatsCluster>(servers, grants);
    bystander_ = cluster_->member(bystander);

    root_ = open(cluster_->member(root));
    auto buckets = fleet::buckets_of(fleet_.fleet_list(1));
    buckets.push_back(bucket::of_location(bystanders_location));
    make_buckets(buckets);
    fleet_.publish(*root_);
    for (const auto& place : places) {
        auto& vault = vaults_.emplace_back(*this, *place.vault, cluster_->member(party_of(*place.vault)));
        const auto& location = place.vault->self.location;
        vault.engine.put(bucket::of_location(location), KnownLists::machines_key,
                         SmallFleet::sign_by(*place.vault, fleet_.machines_of(location, 1)));
        vault.party.start();
    }
    pulse_.await_rest();
    for (const auto& place : places)
        for (auto* machine : place.machines)
            machines_.emplace_back(*this, *machine, cluster_->member(party_of(*machine))).party.start();
    pulse_.await_rest();
    origin_ = std::make_unique<OriginAtWork>(*this, origin, cluster_->member(origins));
    origin_->party.start();
    (void)await({first_epoch + Origin::ahead, 0});
    pulse_.await_rest();
}

LargeFleet::~LargeFleet() = default;

// The servers have a leader, who may not have heard of all of them yet.
void LargeFleet::make_buckets(const std::vector<std::string>& buckets) {
    const auto are_made = [&] {
        try {
            root_->prepare(buckets);
            return true;
        } catch (const EngineError&) {
            return false;
        }
    };
    if (!test::eventually(are_made))
        root_->prepare(buckets);
}

LargeFleet::Reached LargeFleet::begin_epoch() {
    clock_->begin_epoch();
    order_all();
    return await({clock_->epoch() + Origin::ahead, 0});
}

LargeFleet::Reached LargeFleet::renew() {
    const auto current = clock_->epoch();
    const auto before = origin_->engine.bundles.newest_of(current);
    origin_->party.order([this] { origin_->origin.renew(clock_->now(), hourly); });
    const daemon::KeyId key{current, before.value_or(daemon::KeyId{}).revision + 1};
    return await(key);
}

template <class Act>
void LargeFleet::each(const Act& act) {
    act(*origin_);
    std::ranges::for_each(vaults_, act);
    std::ranges::for_each(machines_, act);
}

void LargeFleet::look() {
    each([](auto& at_work) {
        at_work.party.order([&] {
            at_work.engine.look_afresh();
            at_work.run();
        });
    });
    pulse_.await_rest();
}

void LargeFleet::order_all() {
    each([](auto& at_work) { at_work.party.order(); });
}

/// Asks until there is a moment.
Moment LargeFleet::await(const Moments& moments, daemon::KeyId key, Moment until) {
    for (;;) {
        if (const auto moment = moments.of(key))
            return *moment;
        if (std::chrono::steady_clock::now() > until)
            throw std::runtime_error("key " + bundle_key(key) + " did not come everywhere");
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

LargeFleet::Reached LargeFleet::await(daemon::KeyId key) {
    const auto until = std::chrono::steady_clock::now() + limit;
    Reached reached;
    reached.published = await(origin_->engine.bundles, key, until);
    for (const auto& machine : machines_)
        reached.in_place.push_back(await(machine.ticket.in_place, key, until));
    for (const auto& vault : vaults_)
        reached.recorded = std::max(reached.recorded, await(vault.engine.records, key, until));
    last_ = key;
    return reached;
}

std::size_t LargeFleet::bundle_size() {
    return root_->get(bucket::hourly, bundle_key(last_)).value().size();
}

std::size_t LargeFleet::record_size() {
    return root_->get(bucket::of_location(numbered("city", 1)), record_key(numbered("web", 1), last_))
        .value()
        .size();
}

}  // namespace stek::tests
