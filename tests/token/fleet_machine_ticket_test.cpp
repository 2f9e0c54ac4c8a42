// A machine on a real ticket token: what it is sent is what its servers seal with.
#define BOOST_TEST_MODULE fleet_machine_ticket
#include "daemon/fleet/machine_ticket.hpp"
#include "daemon/state.hpp"
#include "provider/ticket_token.hpp"
#include "tests/token/open_token.hpp"
#include "tests/token/wrapped_stek.hpp"
#include "tests/unit/machine_scene.hpp"

#include <filesystem>

#include <boost/test/unit_test.hpp>
#include <sys/xattr.h>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;
using daemon::KeyId;
namespace fs = std::filesystem;

namespace {

bool has_acl(const fs::path& path) {
    return ::getxattr(path.c_str(), "system.posix_acl_access", nullptr, 0) > 0;
}

/// The fleet around it as in the unit tests; token, ring file and pairs are real.
struct OnToken {
    OnToken() { start(); }

    void start() {
        machine.reset();
        work = make_ticket_work(ticket.session, readers,
                                {keyring().string(), ticket.made.directory.string(), 1, false});
        machine.emplace(fleet.self, *fleet.lists, fleet.engine, *work,
                        memory.empty() ? MachineMemory{} : decode_machine_memory(memory),
                        [this](const MachineMemory& changed) { memory = encode_memory(changed); });
    }
    void run() { machine->run(fleet.now, fleet.policy, read_ring_file(keyring().string())); }
    /// The location's answer, with a STEK that the test knows.
    void answer(KeyId key) {
        const auto offer = fleet.offer_for(key.epoch);
        BOOST_REQUIRE(offer);
        auto record = fleet.unsealed(fleet.vaults[0], key, offer->pair);
        record.oaep = offer->oaep;
        record.wrapped_key = encrypt_to(offer->public_key);
        fleet.leave(key, fleet.signed_by(fleet.vaults[0], fleet.seal(record)));
    }
    [[nodiscard]] fs::path keyring() const { return place.path() / "keyring"; }

    OpenToken ticket{"ticket"};
    test::Workspace place{"fleet-machine-ticket"};
    daemon::Readers readers{{"nobody"}};
    test::MachineScene fleet;
    std::vector<std::uint8_t> memory;
    std::unique_ptr<TicketWork> work;
    std::optional<Machine> machine;
};

}  // namespace

BOOST_AUTO_TEST_CASE(servers_seal_with_what_the_location_sent) {
    OnToken scene;
    scene.run();
    BOOST_TEST(list_ticket_pairs(scene.ticket.session).size() == 4U);
    const KeyId key{scene.fleet.epoch(), 0};
    scene.answer(key);
    scene.run();
    BOOST_TEST(scene.machine->report().alarms.empty());

    // As a server's provider does, with nothing but the ring file and a read-only session.
    const auto ring = read_ring_file(scene.keyring().string());
    BOOST_REQUIRE(ring != nullptr);
    BOOST_TEST(ring->token_serial == scene.ticket.made.serial);
    const auto* record = sealing_record(*ring, scene.fleet.now.wall, 0);
    BOOST_REQUIRE(record != nullptr);
    BOOST_TEST((record->name == test::name_of_key(key)));
    SecretArray<admission_key_size> admission_key;
    BOOST_TEST(std::ranges::equal(test::admission_key_of(key, admission_key).bytes(),
                                  record->admission_key.bytes()));
    pkcs11::Session server(scene.ticket.token, pkcs11::Access::read_only);
    BOOST_TEST(token_gcm(server, unwrap_stek(server, *record)) == expected_gcm());

    // Readers may read the ring, and each object of the token.
    BOOST_TEST(has_acl(scene.keyring()));
    for (const auto& entry : fs::directory_iterator(scene.ticket.made.directory))
        BOOST_TEST(has_acl(entry.path()), entry.path());

    // A restart changes nothing.
    scene.start();
    scene.run();
    BOOST_TEST(read_ring_file(scene.keyring().string())->generation == ring->generation);
    BOOST_TEST(list_ticket_pairs(scene.ticket.session).size() == 4U);

    // Revoked: a copy of the ring opens nothing any more.
    scene.fleet.revoke(key);
    scene.run();
    BOOST_TEST(read_ring_file(scene.keyring().string())->records.empty());
    BOOST_CHECK_THROW(unwrap_stek(server, *record), pkcs11::TokenError);
    BOOST_TEST(list_ticket_pairs(scene.ticket.session).size() == 4U, "one is new");
}

BOOST_AUTO_TEST_CASE(pairs_of_another_machine_s_life_are_strays) {
    OnToken scene;
    const auto stray = make_ticket_pair(scene.ticket.session, false);
    scene.run();
    const auto pairs = list_ticket_pairs(scene.ticket.session);
    BOOST_TEST(pairs.size() == 4U);
    BOOST_TEST(std::ranges::count(pairs, stray.id) == 0);
}
