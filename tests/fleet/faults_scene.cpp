#include "tests/fleet/faults_scene.hpp"

#include <algorithm>

namespace stek::tests {

using test::eventually;

namespace {

// Of each client: a dozen tests share the processors.
constexpr std::chrono::milliseconds rest(100);

}  // namespace

void FaultsScene::start_load(const std::string& machine) {
    if (!has_server_[machine])
        fleet.start_server(machine);
    has_server_[machine] = true;
    loads_[machine] = std::make_unique<test::Load>(fleet.pki, fleet.server(machine).port(), 1, rest);
}

void FaultsScene::stop_load(const std::string& machine) {
    judge(machine);
    loads_.erase(machine);
}

void FaultsScene::judge(const std::string& machine) {
    for (const auto& handshake : loads_.at(machine)->take()) {
        ++handshakes_;
        resumed_ += handshake.resumed ? 1 : 0;
        BOOST_TEST(handshake.ok, "with " << machine << ": " << handshake.error);
    }
}

std::size_t FaultsScene::check_handshakes() {
    const auto before = resumed_;
    for (const auto& [machine, load] : loads_)
        judge(machine);
    return resumed_ - before;
}

void FaultsScene::expect_healed() {
    for (const auto& party : fleet.parties())
        BOOST_TEST(fleet.runs(party), party << " has ended\n" << fleet.log(party));
    fleet.expect_new_keys(fleet.machines());
    BOOST_TEST_REQUIRE(eventually([&] { return fleet.all_well(); }, patience), fleet.logs());
    // Servers look at the ring once a second.
    for (const auto& site : fleet.sites())
        for (const auto& from : site.machines)
            for (const auto& to : site.machines)
                for (const int version : versions)
                    BOOST_TEST(eventually([&] { return fleet.resumes(from, to, version); }, patience),
                               from << " to " << to);
    // And so do the clients.
    (void)check_handshakes();
    BOOST_TEST(eventually([&] { return check_handshakes() > 0; }, patience));
    BOOST_TEST_MESSAGE(handshakes_ << " handshakes up to here, of which " << resumed_ << " resumed");
}

}  // namespace stek::tests
