// What a fleet's parties keep of keys whose bytes the test knows: an origin none, a vault those alone that
// the epochs of now are made of.
#define BOOST_TEST_MODULE traces_fleet
#include "daemon/fleet/bundle.hpp"
#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/open_engine.hpp"
#include "provider/key_ring.hpp"
#include "tests/fixtures/child.hpp"
#include "tests/fixtures/faulty_module.hpp"
#include "tests/fixtures/fleet_programs.hpp"
#include "tests/token/known_keys.hpp"
#include "tests/traces/search.hpp"
#include "tests/traces/stopped.hpp"
#include "tests/traces/vault_children.hpp"

#include <algorithm>
#include <ctime>
#include <memory>
#include <set>

namespace fs = std::filesystem;
using namespace stek;
using namespace stek::fleet;
using namespace stek::traces;
using std::chrono::seconds;

namespace {

constexpr std::uint64_t seed = 21;
constexpr unsigned period = 4, session_timeout = 8;  // seconds
constexpr std::uint64_t ahead = 3;                   // epochs

std::uint64_t epoch_now() {
    return static_cast<std::uint64_t>(std::time(nullptr)) / period;
}

Key drawn(std::uint64_t draw) {
    Key key;
    tests::known_random_bytes(seed, draw, key);
    return key;
}

/// An origin whose token draws what the test knows, a vault whose first chain key it knows, and a machine.
/// Made once for the program; two epochs are over.
struct Scene : tests::FleetPrograms {
    Scene() : FleetPrograms(period, session_timeout) {
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
        module.known_random(seed);
        first_epoch_ = epoch_now();
        in_vault([&](pkcs11::Session& session) {
            auto key = tests::known_chain_key(first_chain_, {first_epoch_, first_epoch_});
            session.create(key);
        });
        for (const auto* name : {"o1", "v1", "m1"})
            running_.emplace(
                name, std::make_unique<test::Process>(tests::Arguments{STEK_STEKD, "--config", config(name)},
                                                      test::Environment{}, in(std::string(name) + ".log")));
        const bool two_are_over = test::eventually(
            [&] {
                learn();
                return !hourlies_.empty() && hourlies_.begin()->first.epoch + 2 <= epoch_now();
            },
            seconds(90));
        BOOST_TEST_REQUIRE(two_are_over, logs());
        current = this;
    }
    ~Scene() override { current = nullptr; }
    static inline Scene* current = nullptr;

    [[nodiscard]] const test::Process& process(const std::string& name) const { return *running_.at(name); }
    [[nodiscard]] std::string logs() const {
        std::string all;
        for (const auto* name : {"o1", "v1", "m1"})
            all += test::read_file(in(std::string(name) + ".log"));
        return all;
    }
    /// Runs `act` in a process of its own, logged in to the vault's token.
    void in_vault(const std::function<void(pkcs11::Session&)>& act) const {
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

    /// The hourly keys of all bundles that are in the engine now.
    void learn() {
        const auto engine = open_engine(load_fleet_config(config("root")), OpenedBy::stekctl);
        for (const auto& name : engine->list(bucket::hourly, "")) {
            const auto id = parse_bundle_key(name);
            const auto frame = engine->get(bucket::hourly, name);
            if (!id || !frame || hourlies_.contains(*id))
                continue;
            const auto hash = decode_bundle(body_of(*frame)).hourly_hash;
            for (std::uint64_t draw = 0; draw < module.random_draws(); ++draw) {
                HourlyKey hourly;
                std::ranges::copy(drawn(draw), hourly.data());
                if (hash_of_hourly(hourly) == hash)
                    hourlies_[*id] = drawn(draw);
            }
            BOOST_TEST_REQUIRE(hourlies_.contains(*id), name << ": nobody has drawn its hourly key");
        }
    }
    /// All keys of all bundles that have been seen.
    [[nodiscard]] std::map<KeyId, Derivation> known() const {
        std::map<KeyId, Derivation> all;
        for (const auto& [id, hourly] : hourlies_) {
            Key chain = first_chain_;
            for (auto epoch = first_epoch_; epoch < id.epoch; ++epoch)
                chain = next_chain_key(chain);
            all.emplace(id, derive(chain, id.revision, hourly));
        }
        return all;
    }
    [[nodiscard]] Needles all_needles() const {
        Needles needles;
        for (const auto& [id, derivation] : known())
            add_to(needles, bundle_key(id), derivation);
        return needles;
    }

    /// Stops them all where nothing is left to do in the epoch of now, which is returned: the newest bundle
    /// is made and in use, the chain has moved.
    std::uint64_t stand_still(std::vector<std::unique_ptr<Stopped>>& stopped) {
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

    tests::FaultyModule module{workspace.subdirectory("module")};

  private:
    /// As random as the others, and never drawn.
    const Key first_chain_ = drawn(~std::uint64_t{0});
    std::uint64_t first_epoch_ = 0;
    std::map<KeyId, Key> hourlies_;
    std::map<std::string, std::unique_ptr<test::Process>> running_;
};

BOOST_TEST_GLOBAL_FIXTURE(Scene);

/// The parties stand still for as long as a case lasts.
struct AtRest {
    AtRest() : epoch(scene.stand_still(stopped)), needles(scene.all_needles()) {
        BOOST_TEST_REQUIRE(scene.known().begin()->first.epoch + 2 <= epoch);
    }
    [[nodiscard]] std::vector<std::string> in_memory_of(const std::string& name) const {
        return Search(needles).in_memory(scene.process(name).pid());
    }

    Scene& scene = *Scene::current;
    std::vector<std::unique_ptr<Stopped>> stopped;
    std::uint64_t epoch;
    Needles needles;
};

/// Those of "WHAT of EPOCH.REVISION (FORM) at PLACE" that are of `what`: their epochs.
std::set<std::uint64_t> epochs_of(const std::vector<std::string>& found, const std::string& what) {
    std::set<std::uint64_t> epochs;
    for (const auto& line : found)
        if (line.starts_with(what))
            epochs.insert(std::stoull(line.substr(what.size())));
    return epochs;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_keys_looked_for_are_those_in_use, AtRest) {
    const auto known = scene.known();
    const auto ring = read_ring_file(scene.keyring("m1"));
    BOOST_TEST(ring->records.size() >= ahead + 1);
    for (const auto& record : ring->records)
        BOOST_TEST((known.at({record->epoch, record->revision}).name == record->name));
}

BOOST_FIXTURE_TEST_CASE(an_origin_keeps_no_hourly_key_that_it_has_sealed, AtRest) {
    BOOST_TEST(scene.known().rbegin()->first.epoch == epoch + ahead);
    const auto memory = in_memory_of("o1");
    BOOST_TEST(memory.empty(), lines(memory));
    const auto started = Search(needles).in_start(scene.process("o1").pid());
    BOOST_TEST(started.empty(), lines(started));
}

// That they are found there shows that the search finds what is in a process.
BOOST_FIXTURE_TEST_CASE(a_vault_keeps_the_hourly_keys_of_now_and_ahead_alone, AtRest) {
    const auto memory = in_memory_of("v1");
    std::set<std::uint64_t> expected;
    for (auto of = epoch; of <= epoch + ahead; ++of)
        expected.insert(of);
    BOOST_TEST(epochs_of(memory, "hourly key of ") == expected, boost::test_tools::per_element());
    // The chain key of now is in the token, which is in this process.
    const auto chain_keys = epochs_of(memory, "chain key of ");
    BOOST_TEST((chain_keys.empty() || *chain_keys.begin() == epoch), lines(memory));
    for (const auto* what : {"mixed key of ", "secret of ", "STEK "})
        BOOST_TEST(epochs_of(memory, what).empty(), lines(memory));
}

BOOST_FIXTURE_TEST_CASE(a_vault_s_token_keeps_the_chain_key_of_now_alone, AtRest) {
    const auto out = scene.in("children");
    scene.in_vault([&](pkcs11::Session& session) {
        pkcs11::Attributes secret_keys;
        secret_keys.number(CKA_CLASS, CKO_SECRET_KEY).flag(CKA_TOKEN, true);
        std::string values;
        for (const Key& child : children_of(session, secret_keys, "chain"))
            values.append(child.begin(), child.end());
        test::write_file(out, values);
    });
    const auto children = test::read_file(out);
    fs::remove(out);
    for (const auto& [id, derivation] : scene.known()) {
        const auto next = next_chain_key(derivation.chain);
        BOOST_TEST((children == std::string(next.begin(), next.end())) == (id.epoch == epoch));
    }
}

BOOST_FIXTURE_TEST_CASE(a_machine_s_stekd_has_neither_hourly_nor_chain_keys, AtRest) {
    const auto memory = in_memory_of("m1");
    for (const auto* what : {"hourly key of ", "chain key of ", "mixed key of ", "secret of "})
        BOOST_TEST(epochs_of(memory, what).empty(), lines(memory));
}

BOOST_FIXTURE_TEST_CASE(nothing_of_a_key_is_in_a_file_of_a_fleet, AtRest) {
    const Search search(needles);
    const auto& hourly = scene.known().begin()->second.hourly;
    const fs::path leak = scene.engine("leak");
    test::write_file(leak, "x" + std::string(hourly.begin(), hourly.end()));
    BOOST_TEST(search.in_files(scene.workspace.path()).size() == 2U);  // its halves
    fs::remove(leak);
    // Tokens, states, the engine.
    for (const fs::path& top : {scene.workspace.path(), scene.softhsm.directory(), fs::path("/run"),
                                fs::path("/var/log"), fs::path("/var/lib/systemd/coredump")}) {
        const auto files = search.in_files(top);
        BOOST_TEST(files.empty(), lines(files));
    }
}
