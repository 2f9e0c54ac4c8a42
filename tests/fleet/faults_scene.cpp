#include "tests/fleet/faults_scene.hpp"

#include "daemon/fleet/engine_keys.hpp"

#include <algorithm>

namespace stek::tests {

using test::eventually;

namespace {

// Of each client: a dozen tests share the processors.
constexpr std::chrono::milliseconds rest(100);

}  // namespace

FaultsScene::FaultsScene(const std::string& disk, std::int64_t ago)
    : FaultsScene(faults_period, faults_session_timeout, {"o1", "o2"},
                  {{"fra1", {"fra1-v1", "fra1-v2"}, {"fra1-m1", "fra1-m2"}},
                   {"ams1", {"ams1-v1"}, {"ams1-m1", "ams1-m2"}}},
                  disk, ago) {}

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

void FaultsScene::let_epochs_pass(std::uint64_t epochs) const {
    const auto then = fleet.epoch_now();
    const auto time = std::chrono::seconds(epochs * fleet.policy().period);
    BOOST_TEST_REQUIRE(eventually([&] { return fleet.epoch_now() >= then + epochs; }, patience + time));
}

std::map<daemon::KeyId, KeyName> FaultsScene::names_in(const std::string& machine) const {
    std::map<daemon::KeyId, KeyName> names;
    if (const auto ring = fleet.ring(machine))
        for (const auto& record : ring->records)
            names[{record->epoch, record->revision}] = record->name;
    return names;
}

void FaultsScene::check_names(const std::string& machine,
                              const std::map<daemon::KeyId, KeyName>& before) const {
    for (const auto& [key, name] : names_in(machine))
        if (const auto found = before.find(key); found != before.end())
            BOOST_TEST((found->second == name),
                       "key " << fleet::bundle_key(key) << " of " << machine << " is another one");
}

Ears::Ears(const Fleet& fleet) : fleet_(&fleet) {
    for (const auto& party : fleet.parties())
        before_[party] = fleet.log(party).size();
}

bool Ears::hear(const std::vector<std::string>& parties, const std::string& text) const {
    const auto has_said = [&](const std::string& party) {
        return fleet_->log(party).find(text, before_.at(party)) != std::string::npos;
    };
    return eventually([&] { return std::ranges::any_of(parties, has_said); }, patience);
}

}  // namespace stek::tests
