#include "tests/traces/known_fleet.hpp"

#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/open_engine.hpp"
#include "provider/key_ring.hpp"
#include "tests/fixtures/child.hpp"
#include "tests/token/known_keys.hpp"
#include "tests/traces/search.hpp"

#include <algorithm>
#include <ctime>

namespace stek::traces {

using namespace fleet;
using std::chrono::seconds;

namespace {

constexpr std::uint64_t seed = 21;
constexpr unsigned period = 4, session_timeout = 8;  // seconds

std::uint64_t epoch_now() {
    return static_cast<std::uint64_t>(std::time(nullptr)) / period;
}

Key drawn(std::uint64_t draw) {
    Key key;
    tests::known_random_bytes(seed, draw, key);
    return key;
}

/// As random as the others, and never drawn.
Key first_chain_key() {
    return drawn(~std::uint64_t{0});
}

}  // namespace

KnownFleet::KnownFleet(const std::vector<tests::NatsHost>& nats_hosts)
    : FleetPrograms(period, session_timeout, "engine", nats_hosts) {
    enrol();
    module.known_random(seed);
    first_epoch_ = epoch_now();
    in_vault([&](pkcs11::Session& session) {
        auto key = tests::known_chain_key(first_chain_key(), {first_epoch_, first_epoch_});
        session.create(key);
    });
    for (const std::string name : {"o1", "v1", "m1"})
        running_.emplace(
            name, std::make_unique<test::Process>(tests::Arguments{STEK_STEKD, "--config", config(name)},
                                                  test::Environment{}, in(name + ".log")));
    engine_ = open_engine(load_fleet_config(config("root")), OpenedBy::stekctl);
    const bool two_are_over = test::eventually(
        [&] {
            learn();
            return !hourlies_.empty() && hourlies_.begin()->first.epoch + 2 <= epoch_now();
        },
        seconds(90));
    BOOST_TEST_REQUIRE(two_are_over, logs());
}

void KnownFleet::enrol() {
    add_root();
    init();
    (void)pinned("o1");
    write_config("o1", "[origin]\nname = \"o1\"\nuri = \"" +
                           tests::SoftHsm::uri_with_pin(token("o1"), module.path()) + "\"\n");
    add_vault("v1", "fra1");
    add_machine("m1", "fra1");
    enroll_and_approve("origin", "o1", "root");
    enroll_and_approve("location", "v1", "root");
    enroll_and_approve("machine", "m1", "v1");
}

std::string KnownFleet::logs() const {
    std::string all;
    for (const auto& [name, process] : running_)
        all += test::read_file(in(name + ".log"));
    return all;
}

void KnownFleet::in_vault(const std::function<void(pkcs11::Session&)>& act) const {
    const int status = tests::in_child([&] {
        try {
            auto session = tests::log_in(tests::find_token(tests::SoftHsm::uri(token("v1"))),
                                         "file:" + token("v1").pin_file.string());
            act(session);
            return 0;
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s\n", error.what());
            return 1;
        }
    });
    BOOST_REQUIRE(status == 0);
}

void KnownFleet::learn() {
    for (const auto& name : engine_->list(bucket::hourly, ""))
        if (const auto id = parse_bundle_key(name); id && !hourlies_.contains(*id))
            if (const auto frame = engine_->get(bucket::hourly, name))
                learn(*id, decode_bundle(body_of(*frame)));
}

void KnownFleet::learn(KeyId id, const Bundle& bundle) {
    for (std::uint64_t draw = 0; draw < module.random_draws(); ++draw) {
        HourlyKey hourly;
        std::ranges::copy(drawn(draw), hourly.data());
        if (hash_of_hourly(hourly) == bundle.hourly_hash)
            hourlies_[id] = drawn(draw);
    }
    BOOST_TEST_REQUIRE(hourlies_.contains(id), "nobody has drawn the hourly key of " << bundle_key(id));
}

std::map<KeyId, Derivation> KnownFleet::known() const {
    std::map<KeyId, Derivation> all;
    for (const auto& [id, hourly] : hourlies_) {
        Key chain = first_chain_key();
        for (auto epoch = first_epoch_; epoch < id.epoch; ++epoch)
            chain = next_chain_key(chain);
        all.emplace(id, derive(chain, id.revision, hourly));
    }
    return all;
}

Needles KnownFleet::all_needles() const {
    Needles needles;
    for (const auto& [id, derivation] : known())
        add_to(needles, bundle_key(id), derivation);
    return needles;
}

std::uint64_t KnownFleet::stand_still(std::vector<std::unique_ptr<Stopped>>& stopped) {
    std::uint64_t epoch = 0;
    const bool stands = test::eventually(
        [&] {
            epoch = epoch_now();
            const auto status = test::run({STEK_STEKCTL, "status", "--config", config("v1")});
            const auto ring = read_ring_file(keyring("m1"));
            if (status.output.find("chain at epoch " + std::to_string(epoch)) == std::string::npos ||
                ring == nullptr || ring->records.empty() || ring->records.back()->epoch != epoch + ahead)
                return false;
            for (const auto& [name, process] : running_)
                stopped.push_back(std::make_unique<Stopped>(*process));
            if (epoch_now() != epoch)
                stopped.clear();
            return !stopped.empty();
        },
        seconds(60));
    BOOST_TEST_REQUIRE(stands, logs());
    learn();
    return epoch;
}

AtRest::AtRest(KnownFleet& of) : fleet(of), epoch(of.stand_still(stopped)), needles(of.all_needles()) {
    BOOST_TEST_REQUIRE(of.known().begin()->first.epoch + 2 <= epoch);
}

std::vector<std::string> AtRest::in_memory_of(const std::string& party) const {
    return Search(needles).in_memory(fleet.process(party).pid());
}

}  // namespace stek::traces
