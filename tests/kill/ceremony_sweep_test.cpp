// kill -9 of each step of a ceremony at each system call that changes files, before it and after it: whatever
// the moment, no two vaults have different chains, and the same step once more ends the work.
#define BOOST_TEST_MODULE ceremony_sweep
#include "daemon/fleet/config.hpp"
#include "daemon/fleet/directory_engine.hpp"
#include "daemon/fleet/vault_session.hpp"
#include "provider/schedule.hpp"
#include "provider/vault.hpp"
#include "tests/fixtures/full_length.hpp"
#include "tests/fixtures/location_scene.hpp"
#include "tests/fixtures/softhsm.hpp"
#include "tests/fixtures/workspace.hpp"
#include "tests/kill/traced_kill.hpp"

#include <filesystem>
#include <iostream>
#include <set>

#include <boost/test/unit_test.hpp>
#include <openssl/pem.h>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;

namespace {

namespace fs = std::filesystem;

/// Two vaults, what they have on disk, and copies of it to go back to.
class Scene {
  public:
    Scene() {
        fs::create_directory(in("live"));
        fs::create_directory(in("live/out"));
        fs::create_directory(in("live/state-1"));
        fs::create_directory(in("live/state-2"));
        const std::unique_ptr<BIO, decltype(&BIO_free)> root(BIO_new_file(in("root.pem").c_str(), "w"),
                                                             BIO_free);
        BOOST_REQUIRE(PEM_write_bio_PUBKEY(root.get(), scene_.root().key.get()) == 1);
        for (const char* number : {"1", "2"})
            enroll(number);
        scene_.publish_lists();
        engine_->erase(scene_.bucket(), "machines");  // signed with a key that is not in the token
    }
    [[nodiscard]] std::string in(const std::string& name) const { return workspace_.path() / name; }

    test::Outcome run(const test::Arguments& step) const { return test::run(command(step), {}); }
    test::TracedRun kill(const test::Arguments& step, unsigned stop) const {
        // Not the login before, which may empty token.object: that is stekd's matter too, and mended.
        const auto from = [](const std::string& path) {
            return path.ends_with(".shares.new") || path.ends_with(".offer.new") ||
                   (path.ends_with(".object") && !path.ends_with("token.object"));
        };
        return test::run_traced(command(step), {}, {from, stop});
    }
    test::Arguments offer() const {
        return {"offer", "--config", in("vault-2"), "--out", in("live/vault-2.offer")};
    }
    test::Arguments make() const {
        return {"make", "--config", in("vault-1"), in("live/vault-2.offer"), "--out-dir", in("live/out")};
    }
    test::Arguments take() const { return {"take", "--config", in("vault-2"), share()}; }
    [[nodiscard]] std::string share() const { return in("live/out/vault-2.share"); }

    void keep() const { copy(in("live"), in("kept"), softhsm_.tokens(), in("kept-tokens")); }
    void go_back() const { copy(in("kept"), in("live"), in("kept-tokens"), softhsm_.tokens()); }

    struct Vault {
        std::vector<std::uint8_t> check;  ///< empty: it has no chain
        std::size_t pairs = 0;
    };
    [[nodiscard]] Vault look(const std::string& number) const {
        VaultSession vault(load_fleet_config(in("vault-" + number)));
        Chain chain(vault.session());
        Vault found;
        if (const auto at = chain.position()) {
            const auto check = derive_readable(vault.session(), chain.at_epoch(at->epoch).get(), "check");
            found.check.assign(check.bytes().begin(), check.bytes().end());
        }
        pkcs11::Attributes pattern;
        pattern.flag(CKA_TOKEN, true).text(CKA_LABEL, "stekd ceremony pair");
        found.pairs = vault.session().find(pattern).size();
        return found;
    }
    void check_ceremony_is_over() const {
        const auto first = look("1"), second = look("2");
        BOOST_TEST(!first.check.empty());
        BOOST_TEST(first.check == second.check, boost::test_tools::per_element());
        BOOST_TEST(second.pairs == 0U);
    }

  private:
    static test::Arguments command(const test::Arguments& step) {
        test::Arguments all{STEK_FLEET, "fleet", "ceremony"};
        all.insert(all.end(), step.begin(), step.end());
        return all;
    }
    static void copy(const fs::path& from, const fs::path& to, const fs::path& tokens_from,
                     const fs::path& tokens_to) {
        for (const auto& [source, target] : {std::pair(from, to), std::pair(tokens_from, tokens_to)}) {
            fs::remove_all(target);
            fs::copy(source, target, fs::copy_options::recursive);
        }
    }
    void enroll(const std::string& number) {
        const auto name = "vault-" + number;
        const auto token = softhsm_.make_token(name);
        test::write_file(
            in(name), "[engine]\ndirectory = \"" + engine_directory_ + "\"\nroot = \"" + in("root.pem") +
                          "\"\n[location]\nname = \"" + scene_location + "\"\nvault = \"" + name +
                          "\"\nuri = \"" + SoftHsm::uri_with_pin(token) + "\"\n[paths]\nmodule_config = \"" +
                          softhsm_.conf().string() + "\"\nprovider = \"/not/needed\"\nstate = \"" +
                          in("live/state-" + number) + "\"\n");
        SceneParty& party = scene_.add_vault(name);
        VaultSession vault(load_fleet_config(in(name)));
        party.entry.signing_key = vault.keys().make(Use::signing).point;
        party.entry.sealing_key = vault.keys().make(Use::sealing).point;
    }

    test::Workspace workspace_{"ceremony-sweep"};
    SoftHsm softhsm_;
    std::string engine_directory_ = workspace_.subdirectory("engine");
    std::unique_ptr<Engine> engine_ = make_directory_engine(engine_directory_);
    LocationScene scene_{*engine_};
};

/// Calls `after` behind each kill of `step`, at every so many stops, and says how many kills there were.
template <class After>
void sweep(const Scene& scene, const test::Arguments& step, const After& after, unsigned every = 1) {
    std::set<std::string> where;
    unsigned kills = 0;
    for (unsigned stop = 1;; stop += every, ++kills) {
        scene.go_back();
        const auto run = scene.kill(step, stop);
        if (!run.killed) {
            BOOST_TEST(run.exit_code == 0, run.output);
            break;
        }
        where.insert(run.where);
        BOOST_TEST_CONTEXT("stop " << stop << " (" << run.where << ")") {
            after();
        }
    }
    std::cout << step.front() << ": killed at " << kills << " points (" << where.size() << " kinds)"
              << std::endl;
    BOOST_TEST(kills > 10U);
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(offer_is_killed, Scene) {
    keep();
    // SoftHSM writes both halves of the pair anew for each attribute, and each pair takes its time to make.
    const unsigned every = test::at_full_length() ? 1 : 29;
    const auto after = [&] {
        const bool written = fs::exists(in("live/vault-2.offer"));
        if (!written) {
            const auto again = run(offer());
            BOOST_TEST(again.exit_code == 0, again.output);
        }
        BOOST_TEST(look("2").pairs == 2U);  // halves
        if (!written)
            return;  // that an offer can be taken up is in the other cases
        BOOST_TEST(run(make()).exit_code == 0);
        BOOST_TEST(run(take()).exit_code == 0);
        check_ceremony_is_over();
    };
    sweep(*this, offer(), after, every);
}

BOOST_FIXTURE_TEST_CASE(make_is_killed, Scene) {
    BOOST_REQUIRE(run(offer()).exit_code == 0);
    keep();
    sweep(*this, make(), [&] {
        if (!fs::exists(share())) {
            const auto again = run(make());
            BOOST_TEST(again.exit_code == 0, again.output);
        }
        const auto taken = run(take());
        BOOST_TEST(taken.exit_code == 0, taken.output);
        check_ceremony_is_over();
    });
}

BOOST_FIXTURE_TEST_CASE(take_is_killed, Scene) {
    BOOST_REQUIRE(run(offer()).exit_code == 0);
    BOOST_REQUIRE(run(make()).exit_code == 0);
    keep();
    sweep(*this, take(), [&] {
        const bool had_chain = !look("2").check.empty();
        const auto again = run(take());
        BOOST_TEST((again.exit_code == 0) != had_chain, again.output);
        BOOST_TEST((again.output.find("holds a chain key already") != std::string::npos) == had_chain);
        check_ceremony_is_over();
    });
}
