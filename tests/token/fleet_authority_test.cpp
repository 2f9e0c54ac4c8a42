// Who belongs to a fleet: stekctl fleet init, enroll, approve and retire, as programs on real tokens; and
// what they refuse.
#define BOOST_TEST_MODULE fleet_authority
#include "daemon/exit_codes.hpp"
#include "daemon/fleet/armour.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/fleet/list_changes.hpp"
#include "daemon/fleet/root_key.hpp"
#include "daemon/token_claims.hpp"
#include "tests/fixtures/fleet_programs.hpp"
#include "tests/token/terminal.hpp"

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;
using namespace stek::daemon;

namespace {

/// A fleet that has begun.
struct Scene : FleetPrograms {
    Scene() {
        add_root();
        done({"init"}, "root");
    }
    [[nodiscard]] Point root() const { return read_root_key(in("root.pem")); }
    [[nodiscard]] PartyList decode(const std::string& file, const Point& key) const {
        const auto frame = test::read_file(file);
        return decode_list(open_frame({reinterpret_cast<const std::uint8_t*>(frame.data()), frame.size()},
                                      Kind::list, fleet_id_of(root()), key));
    }
    [[nodiscard]] PartyList list() const { return decode(engine("stek-fleet/list"), root()); }
    [[nodiscard]] PartyList machines(const std::string& vault) const {
        return decode(engine("stek-location-fra1/machines"), list().find(vault)->signing_key);
    }
};

struct OriginScene : Scene {
    OriginScene() {
        add_origin("o1");
        fingerprint = enroll("origin", "o1");
    }
    std::string fingerprint;
};

}  // namespace

// --- init ---

BOOST_FIXTURE_TEST_CASE(a_fleet_begins_once, Scene) {
    const auto pem = test::read_file(in("root.pem"));
    BOOST_TEST(pem.find("BEGIN PUBLIC KEY") != std::string::npos);
    BOOST_TEST(pem.find("PRIVATE") == std::string::npos);
    BOOST_TEST(list().serial == 1U);
    BOOST_TEST(list().parties.empty());
    BOOST_TEST((list() == decode(in("root.state/fleet.list"), root())));
    check_outcome(fleet({"init"}, "root"), exit_ok, "there already");
    BOOST_TEST(test::read_file(in("root.pem")) == pem);
    BOOST_TEST(list().serial == 1U);
}

BOOST_FIXTURE_TEST_CASE(an_init_that_was_interrupted_goes_on, Scene) {
    const auto before = root();
    std::filesystem::remove(in("root.pem"));
    check_outcome(fleet({"init"}, "root"), exit_ok, "fleet ");
    BOOST_TEST((root() == before));
    std::filesystem::remove(in("root.pem"));
    std::filesystem::remove_all(engine());
    std::filesystem::create_directory(engine());
    std::filesystem::remove(in("root.state/fleet.list"));
    check_outcome(fleet({"init"}, "root"), exit_ok, "fleet ");
    BOOST_TEST((root() == before));
    BOOST_TEST(list().serial == 1U);
}

BOOST_FIXTURE_TEST_CASE(no_init_over_what_is_there, Scene) {
    add_root("second");
    check_outcome(fleet({"init"}, "second"), exit_exists, "root.pem is there already");
    std::filesystem::rename(in("root.pem"), in("first.pem"));
    check_outcome(fleet({"init"}, "second"), exit_exists, "another fleet's list");
    BOOST_TEST(!std::filesystem::exists(in("root.pem")));
    std::filesystem::rename(in("first.pem"), in("root.pem"));
    BOOST_TEST(list().serial == 1U);
    // Lost, whole fleets would be forgotten by a new one.
    std::filesystem::remove_all(engine());
    std::filesystem::create_directory(engine());
    std::filesystem::remove(in("root.state/fleet.list"));
    check_outcome(fleet({"init"}, "root"), exit_declined, "fleet.list");
}

BOOST_FIXTURE_TEST_CASE(no_init_without_a_token_for_the_root_key, FleetPrograms) {
    add_origin("o1");
    check_outcome(fleet({"init"}, "o1"), exit_config, "[root]");
    check_outcome(fleet({"init"}, "nowhere"), exit_config, "nowhere.toml");
    write_config("lost", "[root]\nuri = \"pkcs11:token=lost?module-path=/usr/lib/softhsm/libsofthsm2.so\"\n");
    check_outcome(fleet({"init"}, "lost"), exit_software, "no token");
    BOOST_TEST(!std::filesystem::exists(in("root.pem")));
}

BOOST_FIXTURE_TEST_CASE(stekd_does_not_run_on_the_root_alone, Scene) {
    check_outcome(test::run({STEK_STEKD, "--config", config("root"), "--check"}), exit_config,
                  "there must be a role");
}

// --- enroll ---

BOOST_FIXTURE_TEST_CASE(a_party_asks_for_the_same_keys_each_time, OriginScene) {
    BOOST_TEST(enroll("origin", "o1") == fingerprint);
    check_outcome(fleet({"enroll", "origin"}, "o1", {"--output", in("o1.request")}), exit_exists, "already");
    check_outcome(fleet({"enroll", "machine"}, "o1"), exit_config, "no [machine]");
    check_outcome(fleet({"enroll", "location"}, "o1"), exit_config, "no [location]");
    check_outcome(fleet({"enroll"}, "o1"), exit_usage, "");
    const auto printed = fleet({"enroll", "origin"}, "o1");
    BOOST_TEST(fingerprint_in(printed.output) == fingerprint);
    const auto frame = unarmour_request(printed.output);
    BOOST_TEST((open_request(frame, fleet_id_of(root())) ==
                open_request(read_armoured_request(in("o1.request")), fleet_id_of(root()))));
    BOOST_TEST(tests::FleetPrograms::fingerprint_in(test::read_file(in("o1.request"))).empty());
}

BOOST_FIXTURE_TEST_CASE(not_while_stekd_has_the_token, OriginScene) {
    TokenClaims stekd;
    stekd.take(token("o1").directory);
    check_outcome(fleet({"enroll", "origin"}, "o1"), exit_temporary, "");
    stekd.take(token("root").directory);
    check_outcome(approve("o1", "root", fingerprint), exit_temporary, "");
    BOOST_TEST(list().serial == 1U);
    stekd.keep_only({});
    check_outcome(approve("o1", "root", fingerprint), exit_ok, "number 1");
}

// Root would leave files behind that stekd could not read. Without root there is nothing to refuse.
BOOST_FIXTURE_TEST_CASE(root_leaves_nothing_in_anothers_state, OriginScene) {
    if (::geteuid() != 0)
        return;
    constexpr uid_t nobody = 65534;
    for (const auto* name : {"root.state", "o1.state"})
        BOOST_REQUIRE(::chown(in(name).c_str(), nobody, nobody) == 0);
    check_outcome(fleet({"init"}, "root"), exit_config, "is nobody's");
    check_outcome(fleet({"enroll", "origin"}, "o1"), exit_config, "runuser -u nobody");
    check_outcome(approve("o1", "root", fingerprint), exit_config, "is nobody's");
    check_outcome(fleet({"retire", "o1"}, "root"), exit_config, "is nobody's");
    BOOST_TEST(list().serial == 1U);
    // Nor where it would be made.
    std::filesystem::remove_all(in("o1.state"));
    BOOST_REQUIRE(::chown(workspace.path().c_str(), nobody, nobody) == 0);
    check_outcome(fleet({"enroll", "origin"}, "o1"), exit_config, "runuser -u nobody");
    BOOST_TEST(!std::filesystem::exists(in("o1.state")));
}

// --- approve ---

BOOST_FIXTURE_TEST_CASE(approved_by_its_fingerprint, OriginScene) {
    for (const auto& wrong : {std::string("0000-0000-0000-0000-0000-0000-0000-0000"), fingerprint + " ",
                              fingerprint.substr(0, 4), std::string("yes")})
        check_outcome(approve("o1", "root", wrong), exit_declined, "another fingerprint");
    BOOST_TEST(list().serial == 1U);
    check_outcome(approve("o1", "root", fingerprint), exit_ok, "number 1, list 2");
    const auto enrolled = list();
    BOOST_REQUIRE(enrolled.find("o1") != nullptr);
    BOOST_TEST((enrolled.find("o1")->standing == Standing::active));
    BOOST_TEST((enrolled.find("o1")->role == Role::origin));
    // Once more, and from a request that was made anew.
    check_outcome(approve("o1", "root", fingerprint), exit_ok, "already");
    enroll("origin", "o1");
    check_outcome(fleet({"approve"}, "root", {in("o1.request")}), exit_ok, "already");
    BOOST_TEST((list() == enrolled));
}

BOOST_FIXTURE_TEST_CASE(another_key_for_a_name_that_is_enrolled, OriginScene) {
    BOOST_REQUIRE(approve("o1", "root", fingerprint).exit_code == exit_ok);
    write_config("thief", "[origin]\nname = \"o1\"\nuri = \"" + pinned("thief") + "\"\n");
    const auto its = enroll("origin", "thief");
    BOOST_TEST(its != fingerprint);
    check_outcome(approve("thief", "root", its), exit_declined, "enrolled with other keys");
    // Nor in another role.
    write_config("thief", "[location]\nname = \"fra1\"\nvault = \"o1\"\nuri = \"" + pinned("thief") + "\"\n");
    check_outcome(approve("thief", "root", enroll("location", "thief")), exit_declined,
                  "enrolled with other keys");
    BOOST_TEST(list().serial == 2U);
}

BOOST_FIXTURE_TEST_CASE(another_fleets_request, OriginScene) {
    // The same token asks for another fleet.
    std::filesystem::rename(in("root.pem"), in("first.pem"));
    std::filesystem::rename(in("engine"), in("first"));
    std::filesystem::create_directory(in("engine"));
    add_root("second");
    done({"init"}, "second");
    check_outcome(approve("o1", "second", fingerprint), exit_data, "of another fleet");
    BOOST_TEST(list().parties.empty());
}

BOOST_FIXTURE_TEST_CASE(asked_on_a_terminal, OriginScene) {
    check_outcome(fleet({"approve"}, "root", {in("o1.request")}, "yes\n"), exit_declined, "no terminal");
    const Arguments command{STEK_STEKCTL, "fleet", "approve", "--config", config("root"), in("o1.request")};
    for (const auto* answer : {"no\n", "\x04"}) {
        const auto outcome = run_on_terminal(command, answer);
        check_outcome(outcome, exit_declined, "not approved");
        check_outcome(outcome, exit_declined, fingerprint);
    }
    BOOST_TEST(list().serial == 1U);
    // Whatever is not one of the two is asked again.
    check_outcome(run_on_terminal(command, "y\nYES\n\nyes\n"), exit_ok, "number 1");
    BOOST_TEST(list().serial == 2U);
}

BOOST_FIXTURE_TEST_CASE(what_is_no_request, OriginScene) {
    const auto text = test::read_file(in("o1.request"));
    const auto refused = [&](const std::string& content, const std::string& why) {
        test::write_file(in("bad.request"), content);
        check_outcome(approve("bad", "root", fingerprint), exit_data, why);
    };
    refused("", "not one");
    refused("\n\n", "not one");
    refused(text.substr(0, text.size() / 2), "cut short");
    refused(std::string(10'000'000, 'x'), "too large");
    refused(std::string(10'000'000, '\n') + text, "too large");
    refused(test::read_file(in("root.pem")), "something else");
    refused(std::string(60'000, '\0') + "-----BEGIN", "not one");
    check_outcome(fleet({"approve"}, "root", {in("nowhere.request")}), exit_usage, "");
    check_outcome(fleet({"approve"}, "root", {in("engine")}), exit_usage, "");
    // With whatever stands around it, as mails do.
    test::write_file(in("o1.request"), "Dear root,\n\n" + text + "\nYours\n");
    check_outcome(approve("o1", "root", fingerprint), exit_ok, "number 1");
}

BOOST_FIXTURE_TEST_CASE(cut_at_each_byte_and_each_bit_flipped, OriginScene) {
    const auto text = test::read_file(in("o1.request"));
    const auto fleet = fleet_id_of(root());
    const auto whole = open_request(unarmour_request(text), fleet);
    // Without the last line's end it is whole.
    for (std::size_t size = 0; size + 1 < text.size(); ++size)
        BOOST_CHECK_THROW(open_request(unarmour_request(std::string_view(text).substr(0, size)), fleet),
                          FrameError);
    // A flip that leaves the text readable must leave what it says, too.
    std::size_t refused = 0;
    for (std::size_t bit = 0; bit < 8 * text.size(); ++bit) {
        auto flipped = text;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
        try {
            BOOST_TEST((open_request(unarmour_request(flipped), fleet) == whole));
        } catch (const FrameError&) {
            ++refused;
        }
    }
    BOOST_TEST(refused > 8 * text.size() * 9 / 10);
    // The frame itself has no such room.
    const auto frame = unarmour_request(text);
    for (std::size_t size = 0; size < frame.size(); ++size)
        BOOST_CHECK_THROW(open_request(Bytes(frame).first(size), fleet), FrameError);
    for (std::size_t bit = 0; bit < 8 * frame.size(); ++bit) {
        auto flipped = frame;
        flipped[bit / 8] = static_cast<std::uint8_t>(flipped[bit / 8] ^ (1U << bit % 8));
        BOOST_CHECK_THROW(open_request(flipped, fleet), FrameError);
    }
    BOOST_CHECK_THROW(unarmour_request(std::string(10'000'000, 'A')), FrameError);
}

// --- machines ---

BOOST_FIXTURE_TEST_CASE(machines_are_their_locations_affair, Scene) {
    add_vault("v1", "fra1");
    add_vault("v2", "ams1");
    add_machine("m1", "fra1");
    const auto fingerprint = enroll("machine", "m1");
    enroll("location", "v1");
    check_outcome(approve("m1", "root", fingerprint), exit_declined, "at a vault of its location");
    check_outcome(approve("m1", "v2", fingerprint), exit_declined, "at a vault of its location");
    check_outcome(approve("m1", "v1", fingerprint), exit_declined, "approved before it approves");
    check_outcome(approve("v1", "v1", enroll("location", "v1")), exit_declined, "where the root key is");
    enroll_and_approve("location", "v1", "root");
    check_outcome(approve("m1", "v1", fingerprint), exit_ok, "number 1, list 1");
    check_outcome(approve("m1", "v1", fingerprint), exit_ok, "already");
    BOOST_TEST((machines("v1").find("m1")->standing == Standing::active));
    check_outcome(fleet({"retire", "m1"}, "root"), exit_declined, "at a vault of their location");
    check_outcome(fleet({"retire", "v1"}, "v1"), exit_declined, "where the root key is");
    check_outcome(fleet({"retire", "m1"}, "v1"), exit_ok, "is retired: list 2");
    BOOST_TEST((machines("v1").find("m1")->standing == Standing::retired));
    check_outcome(approve("m1", "v1", fingerprint), exit_declined, "was retired");
    // A retired vault signs no more.
    check_outcome(fleet({"retire", "v1"}, "root"), exit_ok, "is retired");
    add_machine("m2", "fra1");
    check_outcome(approve("m2", "v1", enroll("machine", "m2")), exit_declined, "not active");
}

// --- retire ---

BOOST_FIXTURE_TEST_CASE(retired_for_good, OriginScene) {
    BOOST_REQUIRE(approve("o1", "root", fingerprint).exit_code == exit_ok);
    check_outcome(fleet({"retire", "nobody"}, "root"), exit_declined, "nobody of the name");
    check_outcome(fleet({"retire", "no.body"}, "root"), exit_usage, "must be 1 to 64");
    check_outcome(fleet({"retire", "o1"}, "o1"), exit_declined, "neither [root]");
    check_outcome(fleet({"retire", "o1"}, "root"), exit_ok, "is retired: list 3");
    BOOST_TEST((list().find("o1")->standing == Standing::retired));
    check_outcome(fleet({"retire", "o1"}, "root"), exit_ok, "already");
    BOOST_TEST(list().serial == 3U);
    check_outcome(approve("o1", "root", fingerprint), exit_declined, "was retired");
    // Numbers are given once.
    add_origin("o2");
    check_outcome(approve("o2", "root", enroll("origin", "o2")), exit_ok, "number 2, list 4");
}

BOOST_FIXTURE_TEST_CASE(now_takes_an_origin_that_runs, OriginScene) {
    BOOST_REQUIRE(approve("o1", "root", fingerprint).exit_code == exit_ok);
    check_outcome(fleet({"retire", "o1"}, "root", {"--origin", config("o1")}), exit_usage, "--now");
    check_outcome(fleet({"retire", "o1"}, "root", {"--now", "--origin", config("root")}), exit_config,
                  "no [origin]");
    BOOST_TEST(list().serial == 2U);
    check_outcome(fleet({"retire", "o1"}, "root", {"--now", "--origin", config("o1")}), exit_temporary, "");
    BOOST_TEST(list().serial == 3U);  // it is retired all the same
    check_outcome(fleet({"retire", "o1"}, "root", {"--now"}), exit_findings, "run stekctl rotate where");
}

// --- the engine ---

BOOST_FIXTURE_TEST_CASE(an_engine_that_is_away_changes_nothing, OriginScene) {
    std::filesystem::rename(in("engine"), in("away"));
    check_outcome(approve("o1", "root", fingerprint), exit_temporary, "engine");
    std::filesystem::rename(in("away"), in("engine"));
    BOOST_TEST(list().serial == 1U);
    BOOST_REQUIRE(approve("o1", "root", fingerprint).exit_code == exit_ok);
    const auto newest = test::read_file(engine("stek-fleet/list"));
    // What it lost, or was given, is put right by the next approve.
    test::write_file(engine("stek-fleet/list"), "noise");
    check_outcome(approve("o1", "root", fingerprint), exit_ok, "already");
    BOOST_TEST(test::read_file(engine("stek-fleet/list")) == newest);
    test::write_file(engine("stek-fleet/list"), std::string(3'000'000, 'x'));
    check_outcome(approve("o1", "root", fingerprint), exit_ok, "already");
    BOOST_TEST(test::read_file(engine("stek-fleet/list")) == newest);
    std::filesystem::remove_all(engine());
    std::filesystem::create_directory(engine());
    check_outcome(approve("o1", "root", fingerprint), exit_ok, "already");
    BOOST_TEST(test::read_file(engine("stek-fleet/list")) == newest);
}
