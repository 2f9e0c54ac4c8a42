// From nothing to a fleet that works, by stekctl and stekd as programs: an origin, a location's vault and
// machines on real tokens, keys every few seconds.
#define BOOST_TEST_MODULE fleet_enrol
#include "daemon/exit_codes.hpp"
#include "provider/key_ring.hpp"
#include "tests/fixtures/fleet_programs.hpp"

#include <algorithm>
#include <optional>

#include <nlohmann/json.hpp>

using namespace stek;
using namespace stek::tests;
using namespace stek::daemon;
using nlohmann::json;
using std::chrono::seconds;
using test::eventually;

namespace {

constexpr unsigned period = 4, session_timeout = 12;  // seconds

struct Scene : FleetPrograms {
    Scene() : FleetPrograms(period, session_timeout) {
        add_root();
        done({"init"}, "root");
        add_origin("o1");
        add_vault("v1", "fra1");
        add_machine("m1", "fra1");
        enroll_and_approve("origin", "o1", "root");
        enroll_and_approve("location", "v1", "root");
        enroll_and_approve("machine", "m1", "v1");
        std::filesystem::create_directory(in("shares"));
        done({"ceremony", "make"}, "v1", {"--out-dir", in("shares")});
    }

    void start(const std::string& name) {
        running.try_emplace(name,
                            std::make_unique<test::Process>(Arguments{STEK_STEKD, "--config", config(name)},
                                                            test::Environment{}, in(name + ".log")));
    }
    [[nodiscard]] std::string log(const std::string& name) const {
        return test::read_file(in(name + ".log"));
    }

    /// What a machine's servers see; null if there is none.
    [[nodiscard]] std::shared_ptr<const KeyRing> ring(const std::string& machine) const {
        return read_ring_file(in(machine + ".keyring"));
    }
    /// Whether it has a key of that revision or a later one.
    [[nodiscard]] bool has_revision(const std::string& machine, std::uint32_t revision) const {
        const auto there = ring(machine);
        return there && std::ranges::any_of(there->records,
                                            [&](const auto& record) { return record->revision >= revision; });
    }
    [[nodiscard]] bool has_keys(const std::string& machine) const {
        const auto there = ring(machine);
        return there && !there->records.empty();
    }
    [[nodiscard]] json status(const std::string& name, int exit_code) const {
        const auto outcome = fleet({"status"}, name, {"--json"});
        BOOST_TEST_INFO(outcome.output);
        BOOST_REQUIRE(outcome.exit_code == exit_code);
        return json::parse(outcome.output);
    }
    /// Names in the location's bucket.
    [[nodiscard]] std::vector<std::string> records_of(const std::string& machine) const {
        std::vector<std::string> names;
        for (const auto& file : std::filesystem::directory_iterator(engine("stek-location-fra1")))
            if (const auto name = file.path().filename().string();
                name.starts_with("record." + machine + "."))
                names.push_back(name);
        return names;
    }

    std::map<std::string, std::unique_ptr<test::Process>> running;
};

bool says(const json& problems, const std::string& text) {
    return std::ranges::any_of(problems, [&](const json& problem) {
        return problem.get<std::string>().find(text) != std::string::npos;
    });
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(from_nothing_to_keys_and_out_again, Scene) {
    // Enrolled, and silent.
    const auto before = status("root", exit_findings);
    BOOST_TEST(says(before.at("problems"), "there is no bundle for epoch"));
    BOOST_TEST(says(before.at("problems"), "origin o1 is enrolled and silent"));
    BOOST_TEST(says(before.at("problems"), "vault v1 of location fra1 is enrolled and silent"));
    BOOST_TEST(says(before.at("problems"), "machine m1 of location fra1 is enrolled and silent"));

    for (const auto* name : {"o1", "v1", "m1"})
        start(name);
    BOOST_TEST_REQUIRE(eventually([&] { return has_keys("m1"); }, seconds(60)), log("o1")
                                                                                    << "---\n"
                                                                                    << log("v1") << "---\n"
                                                                                    << log("m1"));
    const auto first = ring("m1");
    BOOST_TEST(first->location == "fra1");
    // The ring goes on.
    BOOST_TEST_REQUIRE(eventually(
        [&] {
            const auto now = ring("m1");
            return now && !now->records.empty() && now->records.back()->epoch > first->records.back()->epoch;
        },
        seconds(60)));
    BOOST_TEST(eventually([&] { return fleet({"status"}, "root").exit_code == exit_ok; }, seconds(60)),
               fleet({"status"}, "root").output);
    const auto well = status("m1", exit_ok);  // for any party
    BOOST_TEST(well.at("list_serial") == 3);
    BOOST_TEST(well.at("origins").at(0).at("name") == "o1");
    const auto& location = well.at("locations").at(0);
    BOOST_TEST(location.at("name") == "fra1");
    BOOST_TEST(location.at("lag") == 0);
    BOOST_TEST(location.at("last_epoch").get<std::uint64_t>() >= well.at("epoch").get<std::uint64_t>());
    BOOST_TEST(location.at("pre_keys_left").get<unsigned>() >= 4U);
    BOOST_TEST(location.at("machines").size() == 1U);
    BOOST_TEST(!location.at("machines").at(0).at("silent").get<bool>());
    check_outcome(fleet({"status"}, "root"), exit_ok, "LAST EPOCH");

    // Another machine, while the vault's stekd runs: it signs.
    add_machine("m2", "fra1");
    const auto fingerprint = enroll("machine", "m2");
    check_outcome(approve("m2", "v1", fingerprint), exit_ok, "number 2, list 2");
    check_outcome(approve("m2", "v1", fingerprint), exit_ok, "already");
    start("m2");
    BOOST_TEST_REQUIRE(eventually([&] { return has_keys("m2"); }, seconds(60)), log("v1") << "---\n"
                                                                                          << log("m2"));

    // Out of the next revision.
    check_outcome(fleet({"retire", "m2"}, "v1", {"--now", "--origin", config("o1")}), exit_ok,
                  "a new revision");
    BOOST_TEST(eventually([&] { return has_revision("m1", 1); }, seconds(60)), log("v1") << log("m1"));
    for (const auto& name : records_of("m2"))
        BOOST_TEST(name.ends_with(".0"), name);
    BOOST_TEST(!has_revision("m2", 1));
    BOOST_TEST(eventually(
        [&] { return status("root", exit_ok).at("locations").at(0).at("machines").size() == 1U; }));
    check_outcome(fleet({"retire", "m2"}, "v1"), exit_ok, "already");
    check_outcome(fleet({"retire", "m3"}, "v1"), exit_declined, "nobody of the name");
    check_outcome(approve("m2", "v1", fingerprint), exit_declined, "was retired");
    // `stekctl rotate` and `status` know a party's configuration, too.
    BOOST_TEST(test::run({STEK_STEKCTL, "rotate", "--config", config("o1")}).exit_code == exit_ok);
    BOOST_TEST(test::run({STEK_STEKCTL, "status", "--config", config("m1")}).exit_code == exit_ok);

    // Without its origin the location falls behind, and it is said.
    running.at("o1")->stop();
    BOOST_TEST(eventually(
        [&] {
            const auto outcome = fleet({"status"}, "root");
            return outcome.exit_code == exit_findings &&
                   outcome.output.find("there is no bundle for epoch") != std::string::npos;
        },
        seconds(60)));
    running.clear();
    std::filesystem::rename(in("engine"), in("away"));
    check_outcome(fleet({"status"}, "root"), exit_findings, "cannot be reached");
    std::filesystem::create_directory(in("engine"));
    check_outcome(fleet({"status"}, "root"), exit_findings, "is empty");
    BOOST_TEST(status("root", exit_findings).at("list_serial") == 3);
}
