// `stekctl fleet ceremony` as it is called, step by step; each opens its vault and closes it again.
#define BOOST_TEST_MODULE fleet_ceremony_command
#include "daemon/another_stekd.hpp"
#include "daemon/exit_codes.hpp"
#include "daemon/fleet/ceremony.hpp"
#include "daemon/fleet/command_ceremony.hpp"
#include "daemon/fleet/config.hpp"
#include "daemon/fleet/directory_engine.hpp"
#include "daemon/fleet/vault_session.hpp"
#include "daemon/init.hpp"
#include "provider/schedule.hpp"
#include "provider/vault.hpp"
#include "tests/fixtures/location_scene.hpp"
#include "tests/fixtures/softhsm.hpp"
#include "tests/fixtures/workspace.hpp"
#include "tests/token/known_keys.hpp"

#include <algorithm>
#include <ctime>
#include <filesystem>

#include <CLI/CLI.hpp>
#include <boost/test/unit_test.hpp>
#include <openssl/pem.h>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;

namespace {

void write_root(const std::filesystem::path& path, EVP_PKEY* key) {
    const std::unique_ptr<BIO, decltype(&BIO_free)> file(BIO_new_file(path.c_str(), "w"), BIO_free);
    BOOST_REQUIRE(PEM_write_bio_PUBKEY(file.get(), key) == 1);
}

struct Scene {
    Scene() {
        write_root(in("root.pem"), scene.root().key.get());
        enroll("vault-1", tokens[0]);
        enroll("vault-2", tokens[1]);
        scene.publish_lists();
        engine->erase(scene.bucket(), "machines");  // signed with a key that is not in the token
        std::filesystem::create_directory(in("out"));
    }
    [[nodiscard]] std::string in(const std::string& name) const { return workspace.path() / name; }

    void enroll(const std::string& name, const TestToken& token) {
        std::filesystem::create_directory(in(name + ".state"));
        test::write_file(
            in(name), "[engine]\ndirectory = \"" + in("engine.0") + "\"\nroot = \"" + in("root.pem") +
                          "\"\n[location]\nname = \"" + scene_location + "\"\nvault = \"" + name +
                          "\"\nuri = \"" + SoftHsm::uri_with_pin(token) + "\"\n[paths]\nmodule_config = \"" +
                          softhsm.conf().string() + "\"\nprovider = \"" STEK_MODULE "\"\nstate = \"" +
                          in(name + ".state") + "\"\n");
        SceneParty& party = scene.add_vault(name);
        VaultSession vault(load_fleet_config(in(name)));
        party.entry.signing_key = vault.keys().make(Use::signing).point;
        party.entry.sealing_key = vault.keys().make(Use::sealing).point;
    }

    /// "stekctl fleet ceremony ...".
    static int call(const std::vector<std::string>& arguments) {
        CLI::App app("", "fleet");
        daemon::Chosen chosen;
        add_ceremony(app, chosen);
        std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
        reversed.emplace_back("ceremony");
        app.parse(reversed);
        return chosen();
    }
    int offer(const std::string& name) const {
        return call({"offer", "--config", in(name), "--out", in(name + ".offer")});
    }
    int make() const {
        return call({"make", "--config", in("vault-1"), in("vault-2.offer"), "--out-dir", in("out")});
    }
    int take() const { return call({"take", "--config", in("vault-2"), in("out/vault-2.share")}); }

    struct Found {
        std::optional<ChainPosition> at;
        std::vector<std::uint8_t> check;
    };
    [[nodiscard]] Found chain(const std::string& name) const {
        VaultSession vault(load_fleet_config(in(name)));
        Chain chain(vault.session());
        Found found{chain.position(), {}};
        if (found.at) {
            const auto check =
                derive_readable(vault.session(), chain.at_epoch(found.at->epoch).get(), "check");
            found.check.assign(check.bytes().begin(), check.bytes().end());
        }
        return found;
    }

    /// A STEK of its chain, for an hourly key that whoever asks chose, and its name.
    [[nodiscard]] std::vector<std::uint8_t> stek(const std::string& name, KeyId key) const {
        static const RsaPair own;
        VaultSession vault(load_fleet_config(in(name)));
        HourlyKey hourly;
        std::ranges::fill(hourly.span(), std::uint8_t{0x48});
        WrappedStek out;
        derive_stek(vault.session(), Chain(vault.session()).at_epoch(key.epoch).get(), key.revision,
                    hourly.bytes(), own.spki(), out, OaepHash::sha1);
        auto stek = own.unwrap(out.wrapped_key, "SHA1");
        stek.insert(stek.end(), out.name.begin(), out.name.end());
        return stek;
    }
    /// All that vault-2 has, token, PIN and state, as it is now: a vault `name` on another host.
    void copy_of_second(const std::string& name) const {
        namespace fs = std::filesystem;
        const auto host = in(name + ".host");
        fs::create_directories(host + "/tokens");
        fs::copy(tokens[1].directory, fs::path(host) / "tokens" / tokens[1].directory.filename(),
                 fs::copy_options::recursive);
        fs::copy(tokens[1].pin_file, host + "/pin");
        fs::copy(in("vault-2.state"), in(name + ".state"), fs::copy_options::recursive);
        test::write_file(host + "/softhsm2.conf",
                         "directories.tokendir = " + host + "/tokens\nobjectstore.backend = file\n");
        auto config = test::read_file(in("vault-2"));
        const auto replace = [&](const std::string& what, const std::string& by) {
            const auto found = config.find(what);
            BOOST_REQUIRE(found != std::string::npos);
            config.replace(found, what.size(), by);
        };
        replace(softhsm.conf(), host + "/softhsm2.conf");
        replace(tokens[1].pin_file, host + "/pin");
        replace(in("vault-2.state"), in(name + ".state"));
        test::write_file(in(name), config);
    }

    test::Workspace workspace{"ceremony-command"};
    SoftHsm softhsm;
    std::array<TestToken, 2> tokens{softhsm.make_token("first"), softhsm.make_token("second")};
    std::unique_ptr<Engine> engine = make_directory_engine(workspace.subdirectory("engine."));
    LocationScene scene{*engine};
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(step_by_step, Scene) {
    const auto before = static_cast<std::uint64_t>(std::time(nullptr)) / 3600;
    BOOST_TEST(offer("vault-2") == daemon::exit_ok);
    BOOST_TEST(make() == daemon::exit_ok);
    BOOST_TEST(take() == daemon::exit_ok);
    const auto after = static_cast<std::uint64_t>(std::time(nullptr)) / 3600;
    const auto first = chain("vault-1"), second = chain("vault-2");
    BOOST_REQUIRE(first.at);
    BOOST_TEST((first.at->epoch >= before && first.at->epoch <= after));
    BOOST_TEST(first.at->index == first.at->epoch);
    BOOST_TEST((first.at == second.at));
    BOOST_TEST(first.check == second.check, boost::test_tools::per_element());
    BOOST_TEST(!std::filesystem::exists(in("vault-1.state/ceremony.shares")));
    // Not twice.
    BOOST_CHECK_THROW(take(), CeremonyRefused);
    BOOST_CHECK_THROW(make(), CeremonyRefused);
    BOOST_CHECK_THROW(offer("vault-2"), daemon::WouldOverwrite);
    BOOST_CHECK_THROW(offer("vault-1"), CeremonyRefused);
    BOOST_TEST(!std::filesystem::exists(in("vault-1.offer")));
    BOOST_TEST((chain("vault-1").check == first.check));
}

// Threat model: the share and the taking vault's token before it takes.
BOOST_FIXTURE_TEST_CASE(a_copy_of_the_taking_vault_takes_its_share_as_well, Scene) {
    copy_of_second("copy-before-the-offer");
    offer("vault-2");
    copy_of_second("copy");
    make();
    const auto take_as = [&](const std::string& name) {
        return call({"take", "--config", in(name), in("out/vault-2.share")});
    };
    BOOST_TEST(take() == daemon::exit_ok);
    BOOST_TEST(take_as("copy") == daemon::exit_ok);
    // The location's chain key and all that comes of it, from its first epoch on.
    const auto first = chain("vault-1"), stolen = chain("copy");
    BOOST_REQUIRE(first.at);
    BOOST_TEST((stolen.at == first.at));
    BOOST_TEST(stolen.check == first.check, boost::test_tools::per_element());
    for (const KeyId key : {KeyId{first.at->epoch, 0}, KeyId{first.at->epoch + 5, 2}}) {
        const auto known = stek("vault-1", key);
        BOOST_TEST(known.size() == 32U + KeyName().size());
        BOOST_TEST(stek("copy", key) == known, boost::test_tools::per_element());
        BOOST_TEST(stek("vault-2", key) == known, boost::test_tools::per_element());
    }
    // It is the offer's pair that opens it, not the vault's other keys.
    BOOST_CHECK_THROW(take_as("copy-before-the-offer"), CeremonyRefused);
    BOOST_TEST(!chain("copy-before-the-offer").at);
}

BOOST_FIXTURE_TEST_CASE(nothing_is_overwritten, Scene) {
    offer("vault-2");
    test::write_file(in("out/vault-2.share"), "another's");
    BOOST_CHECK_THROW(make(), daemon::WouldOverwrite);
    BOOST_TEST(test::read_file(in("out/vault-2.share")) == "another's");
    BOOST_TEST(!chain("vault-1").at);
    BOOST_CHECK_THROW(call({"make", "--config", in("vault-1"), "--out-dir", in("nowhere")}),
                      daemon::ConfigError);
}

BOOST_FIXTURE_TEST_CASE(a_make_that_cannot_write_its_shares_is_ended_by_the_next, Scene) {
    offer("vault-2");
    // Where the share is written aside.
    std::filesystem::create_directory(in("out/vault-2.share.new"));
    BOOST_CHECK_THROW(make(), std::system_error);
    const auto made = chain("vault-1");
    BOOST_TEST(made.at.has_value());
    std::filesystem::remove(in("out/vault-2.share.new"));
    BOOST_TEST(make() == daemon::exit_ok);
    BOOST_TEST(take() == daemon::exit_ok);
    BOOST_TEST((chain("vault-2").check == made.check));
    BOOST_CHECK_THROW(make(), CeremonyRefused);
}

BOOST_FIXTURE_TEST_CASE(a_clock_that_is_wrong_for_certain_begins_no_chain, Scene) {
    offer("vault-2");
    const auto frame = engine->get(bucket::fleet, "list").value();
    auto list = decode_list(open_frame(frame, Kind::list, scene.id(), scene.root().point));
    ++list.serial;
    list.signed_at = std::time(nullptr) + 3600;
    engine->put(bucket::fleet, "list",
                make_frame({Kind::list, scene.id(), 0}, encode_list(list),
                           [&](Bytes bytes) { return sign_with(scene.root().key.get(), bytes); }));
    BOOST_CHECK_EXCEPTION(make(), CeremonyRefused, [](const CeremonyRefused& error) {
        return std::string(error.what()).find("clock") != std::string::npos;
    });
    BOOST_TEST(!chain("vault-1").at);
}

BOOST_FIXTURE_TEST_CASE(not_while_stekd_has_the_token, Scene) {
    daemon::TokenClaims stekd;
    stekd.take(tokens[1].directory);
    BOOST_CHECK_THROW(offer("vault-2"), daemon::AnotherStekd);
    BOOST_TEST(!std::filesystem::exists(in("vault-2.offer")));
    stekd.keep_only({});
    BOOST_TEST(offer("vault-2") == daemon::exit_ok);
}

BOOST_FIXTURE_TEST_CASE(the_lists_at_hand_will_do_without_the_engine, Scene) {
    offer("vault-2");
    std::filesystem::rename(in("engine.0"), in("away"));
    BOOST_CHECK_THROW(make(), CeremonyRefused);  // vault-1 has seen none yet
    std::filesystem::rename(in("away"), in("engine.0"));
    BOOST_TEST(make() == daemon::exit_ok);
    std::filesystem::rename(in("engine.0"), in("away"));
    BOOST_TEST(take() == daemon::exit_ok);
}

BOOST_FIXTURE_TEST_CASE(files_that_are_none_are_refused, Scene) {
    offer("vault-2");
    test::write_file(in("large"), std::string(10'000, 'x'));
    test::write_file(in("empty"), "");
    for (const auto* name : {"large", "empty", "root.pem"}) {
        BOOST_CHECK_THROW(call({"make", "--config", in("vault-1"), in(name), "--out-dir", in("out")}),
                          FrameError);
        BOOST_CHECK_THROW(call({"take", "--config", in("vault-2"), in(name)}), FrameError);
    }
    BOOST_CHECK_THROW(call({"take", "--config", in("vault-2"), in("nowhere")}), CLI::ValidationError);
    BOOST_CHECK_THROW(call({"take", "--config", in("nowhere"), in("empty")}), daemon::ConfigError);
    BOOST_CHECK_THROW(call({}), CLI::RequiredError);
}
