// What a fleet's parties keep of keys whose bytes the test knows: an origin none, a vault those alone that
// the epochs of now are made of.
#define BOOST_TEST_MODULE traces_fleet
#include "provider/key_ring.hpp"
#include "tests/traces/known_fleet.hpp"
#include "tests/traces/search.hpp"
#include "tests/traces/vault_children.hpp"

#include <set>

namespace fs = std::filesystem;
using namespace stek;
using namespace stek::traces;

namespace {

/// Made once for the program.
struct Scene : KnownFleet {
    Scene() { current = this; }
    ~Scene() override { current = nullptr; }
    static inline Scene* current = nullptr;
};

BOOST_TEST_GLOBAL_FIXTURE(Scene);

/// For as long as a case lasts.
struct Case : AtRest {
    Case() : AtRest(*Scene::current) {}
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

BOOST_FIXTURE_TEST_CASE(the_keys_looked_for_are_those_in_use, Case) {
    const auto known = fleet.known();
    const auto ring = read_ring_file(fleet.keyring("m1"));
    BOOST_TEST(ring->records.size() >= KnownFleet::ahead + 1);
    for (const auto& record : ring->records)
        BOOST_TEST((known.at({record->epoch, record->revision}).name == record->name));
}

BOOST_FIXTURE_TEST_CASE(an_origin_keeps_no_hourly_key_that_it_has_sealed, Case) {
    BOOST_TEST(fleet.known().rbegin()->first.epoch == epoch + KnownFleet::ahead);
    const auto memory = in_memory_of("o1");
    BOOST_TEST(memory.empty(), lines(memory));
    const auto started = Search(needles).in_start(fleet.process("o1").pid());
    BOOST_TEST(started.empty(), lines(started));
}

// That they are found there shows that the search finds what is in a process.
BOOST_FIXTURE_TEST_CASE(a_vault_keeps_the_hourly_keys_of_now_and_ahead_alone, Case) {
    const auto memory = in_memory_of("v1");
    std::set<std::uint64_t> expected;
    for (auto of = epoch; of <= epoch + KnownFleet::ahead; ++of)
        expected.insert(of);
    BOOST_TEST(epochs_of(memory, "hourly key of ") == expected, boost::test_tools::per_element());
    // The chain key of now is in the token, which is in this process.
    const auto chain_keys = epochs_of(memory, "chain key of ");
    BOOST_TEST((chain_keys.empty() || *chain_keys.begin() == epoch), lines(memory));
    for (const auto* what : {"mixed key of ", "secret of ", "STEK "})
        BOOST_TEST(epochs_of(memory, what).empty(), lines(memory));
}

BOOST_FIXTURE_TEST_CASE(a_vault_s_token_keeps_the_chain_key_of_now_alone, Case) {
    const auto out = fleet.in("children");
    fleet.in_vault([&](pkcs11::Session& session) {
        pkcs11::Attributes secret_keys;
        secret_keys.number(CKA_CLASS, CKO_SECRET_KEY).flag(CKA_TOKEN, true);
        std::string values;
        for (const Key& child : children_of(session, secret_keys, "chain"))
            values.append(child.begin(), child.end());
        test::write_file(out, values);
    });
    const auto children = test::read_file(out);
    fs::remove(out);
    for (const auto& [id, derivation] : fleet.known()) {
        const auto next = next_chain_key(derivation.chain);
        BOOST_TEST((children == std::string(next.begin(), next.end())) == (id.epoch == epoch));
    }
}

BOOST_FIXTURE_TEST_CASE(a_machine_s_stekd_has_neither_hourly_nor_chain_keys, Case) {
    const auto memory = in_memory_of("m1");
    for (const auto* what : {"hourly key of ", "chain key of ", "mixed key of ", "secret of "})
        BOOST_TEST(epochs_of(memory, what).empty(), lines(memory));
}

BOOST_FIXTURE_TEST_CASE(nothing_of_a_key_is_in_a_file_of_a_fleet, Case) {
    const Search search(needles);
    const auto& hourly = fleet.known().begin()->second.hourly;
    const fs::path leak = fleet.engine("leak");
    test::write_file(leak, "x" + std::string(hourly.begin(), hourly.end()));
    BOOST_TEST(search.in_files(fleet.workspace.path()).size() == 2U);  // its halves
    fs::remove(leak);
    // Tokens, states, the engine.
    for (const fs::path& top : {fleet.workspace.path(), fleet.softhsm.directory(), fs::path("/run"),
                                fs::path("/var/log"), fs::path("/var/lib/systemd/coredump")}) {
        const auto files = search.in_files(top);
        BOOST_TEST(files.empty(), lines(files));
    }
}
