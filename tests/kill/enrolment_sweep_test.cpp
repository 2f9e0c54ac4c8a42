// kill -9 of stekctl fleet init, enroll and approve at each system call that changes files, before it and
// after it: whatever the moment, the same command once more ends the work, with one root key and one list of
// each serial.
#define BOOST_TEST_MODULE enrolment_sweep
#include "daemon/fleet/known_lists.hpp"
#include "daemon/fleet/root_key.hpp"
#include "tests/fixtures/fleet_programs.hpp"
#include "tests/fixtures/full_length.hpp"
#include "tests/kill/traced_kill.hpp"

#include <iostream>
#include <set>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;

namespace {

namespace fs = std::filesystem;

/// A fleet's places, and copies of them to go back to.
struct Scene : FleetPrograms {
    Scene() {
        add_root();
        add_origin("o1");
    }
    void keep() const {
        for (const auto& [live, kept] : places())
            copy(live, kept);
    }
    void go_back() const {
        for (const auto& [live, kept] : places())
            copy(kept, live);
    }
    /// Kills it at every so many stops, and calls `after` behind each.
    template <class After>
    void sweep(const test::Arguments& step, const After& after, unsigned every = 1) {
        keep();
        test::Arguments all{STEK_FLEET, "fleet"};
        all.insert(all.end(), step.begin(), step.end());
        std::set<std::string> where;
        unsigned kills = 0;
        for (unsigned stop = 1;; stop += every, ++kills) {
            go_back();
            // Not the login before, which may empty token.object: that is stekd's matter too, and mended.
            const auto from = [](const std::string& path) {
                return !path.ends_with("/lock") && !path.ends_with("token.object") &&
                       !path.ends_with("token.lock") && !path.ends_with("generation") &&
                       path.find(".state/tokens") == std::string::npos && path.starts_with("/");
            };
            const auto run = test::run_traced(all, {}, {from, stop});
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

    [[nodiscard]] Point root() const { return read_root_key(in("root.pem")); }
    [[nodiscard]] PartyList decode(const std::string& file) const {
        const auto frame = test::read_file(file);
        return decode_list(open_frame({reinterpret_cast<const std::uint8_t*>(frame.data()), frame.size()},
                                      Kind::list, fleet_id_of(root()), root()));
    }
    /// The one in force, which is the same everywhere.
    [[nodiscard]] PartyList list() const {
        const auto there = decode(engine("stek-fleet/list"));
        BOOST_TEST((there == decode(in("root.state/fleet.list"))));
        return there;
    }

  private:
    [[nodiscard]] std::vector<std::pair<fs::path, fs::path>> places() const {
        std::vector<std::pair<fs::path, fs::path>> all{{softhsm.tokens(), in("kept.tokens")}};
        for (const auto* name : {"engine", "root.state", "o1.state", "root.pem", "o1.out"})
            all.emplace_back(in(name), in("kept." + std::string(name)));
        return all;
    }
    static void copy(const fs::path& from, const fs::path& to) {
        fs::remove_all(to);
        if (fs::exists(from))
            fs::copy(from, to, fs::copy_options::recursive);
    }
};

struct BegunScene : Scene {
    BegunScene() { done({"init"}, "root"); }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(init_is_killed, Scene) {
    // SoftHSM writes both halves of a pair anew for each attribute.
    const unsigned every = test::at_full_length() ? 1 : 5;
    const auto after = [&] {
        done({"init"}, "root");
        BOOST_TEST(list().serial == 1U);
        BOOST_TEST(list().parties.empty());
        // The key that the list is signed with is the one in the token, or this would be refused.
        BOOST_TEST(fleet({"init"}, "root").output.find("there already") != std::string::npos);
    };
    sweep({"init", "--config", config("root")}, after, every);
}

BOOST_FIXTURE_TEST_CASE(enroll_is_killed, BegunScene) {
    const Arguments step{"enroll", "origin", "--config", config("o1"), "--output", in("o1.out")};
    const auto after = [&] {
        const auto printed = fleet({"enroll", "origin"}, "o1");
        BOOST_TEST(printed.exit_code == 0, printed.output);
        // A request that was written is whole, and for the keys that are in the token.
        if (!fs::exists(in("o1.out")))
            return;
        const auto approved =
            fleet({"approve"}, "root", {in("o1.out"), "--fingerprint", fingerprint_in(printed.output)});
        BOOST_TEST(approved.exit_code == 0, approved.output);
    };
    sweep(step, after, test::at_full_length() ? 1 : 5);
}

BOOST_FIXTURE_TEST_CASE(approve_is_killed, BegunScene) {
    const auto fingerprint = enroll("origin", "o1");
    sweep({"approve", "--config", config("root"), in("o1.request"), "--fingerprint", fingerprint}, [&] {
        const auto again = approve("o1", "root", fingerprint);
        BOOST_TEST(again.exit_code == 0, again.output);
        BOOST_TEST(list().serial == 2U);
        BOOST_TEST(list().parties.size() == 1U);
    });
}
