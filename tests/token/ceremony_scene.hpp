// Vaults for a ceremony: each with its token, its keys in it and its state directory.
#pragma once

#include "daemon/config.hpp"
#include "daemon/fleet/ceremony.hpp"
#include "daemon/fleet/directory_engine.hpp"
#include "daemon/fleet/location_vault.hpp"
#include "tests/fixtures/location_scene.hpp"
#include "tests/fixtures/workspace.hpp"
#include "tests/token/open_token.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

#include <boost/test/unit_test.hpp>

namespace stek::tests {

using namespace fleet;

using Frame = std::vector<std::uint8_t>;
inline constexpr std::uint64_t start = 500000;

inline std::size_t count(pkcs11::Session& session, CK_OBJECT_CLASS what, bool in_token) {
    pkcs11::Attributes pattern;
    pattern.number(CKA_CLASS, what).flag(CKA_TOKEN, in_token);
    return session.find(pattern).size();
}

/// A vault that is enrolled, with its token and its state directory.
struct CeremonyVault {
    CeremonyVault(const TestToken& made, SceneParty& party, LocationScene& scene, const std::string& state)
        : token(made), party(party), state(state), lists(state, scene.root().point, party.self.location) {
        party.self.signing = keys.make(Use::signing);
        party.self.sealing = keys.make(Use::sealing);
        party.entry.signing_key = party.self.signing.point;
        party.entry.sealing_key = party.self.sealing->point;
    }
    Ceremony ceremony() { return {session, party.self, lists, state}; }
    std::optional<ChainPosition> chain() { return Chain(session).position(); }
    /// Neither pairs nor anything in the session.
    void check_left_nothing(std::size_t chain_keys) {
        BOOST_TEST(count(session, CKO_SECRET_KEY, true) == chain_keys);
        BOOST_TEST(count(session, CKO_PRIVATE_KEY, true) == 2U);  // signing, sealing
        BOOST_TEST(count(session, CKO_PUBLIC_KEY, true) == 2U);
        for (const auto what : {CKO_SECRET_KEY, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY})
            BOOST_TEST(count(session, what, false) == 0U);
    }
    [[nodiscard]] bool has_unsigned_shares() const {
        return std::filesystem::exists(state + "/ceremony.shares");
    }

    TestToken token;
    SceneParty& party;
    std::string state;
    KnownLists lists;
    pkcs11::Session session = log_in(find_token(SoftHsm::uri(token)), "file:" + token.pin_file.string());
    TokenKeys keys{session};
};

/// Three vaults of a location and one of another.
struct CeremonyScene {
    CeremonyScene() { refresh(); }
    void refresh() {
        scene.publish_lists();
        for (auto* vault : {&first, &second, &third, &foreign})
            vault->lists.refresh(*engine);
    }
    void retire(CeremonyVault& vault) {
        vault.party.entry.standing = Standing::retired;
        refresh();
    }
    CeremonyVault enroll(const char* name, const char* location, const TestToken& token) {
        return {token, scene.add_vault(name, location), scene, workspace.subdirectory("state")};
    }
    /// Signed by that party, whatever it says.
    Frame share_by(const SceneParty& signer, const CeremonyShare& share) const {
        return signer.self.sign(Kind::ceremony_share, signer.entry.number, encode_share(share));
    }
    static CeremonyShare read(const Frame& frame) {
        return decode_share(Bytes(frame).subspan(frame_head_size, frame.size() - frame_overhead));
    }

    test::Workspace workspace{"ceremony"};
    std::unique_ptr<Engine> engine = make_directory_engine(workspace.subdirectory("engine"));
    LocationScene scene{*engine};
    SoftHsm softhsm;
    std::array<TestToken, 4> tokens{softhsm.make_token("first"), softhsm.make_token("second"),
                                    softhsm.make_token("third"), softhsm.make_token("foreign")};
    CeremonyVault first = enroll("vault-1", scene_location, tokens[0]);
    CeremonyVault second = enroll("vault-2", scene_location, tokens[1]);
    CeremonyVault third = enroll("vault-3", scene_location, tokens[2]);
    CeremonyVault foreign = enroll("vault-4", "ams1", tokens[3]);
};

template <class Error, class Call>
void check_refused(const std::string& reason, const Call& call) {
    BOOST_CHECK_EXCEPTION(call(), Error, [&](const Error& error) {
        BOOST_TEST_INFO(error.what());
        return std::string(error.what()).find(reason) != std::string::npos;
    });
}

inline KeyName name_of(CeremonyVault& vault, const SoftHsm& softhsm, KeyId key) {
    daemon::Config config;
    config.vault = pkcs11::TokenUri::parse(SoftHsm::uri_with_pin(vault.token));
    config.module_config = softhsm.conf().string();
    config.provider = STEK_MODULE;
    const daemon::Deriver deriver(config);
    LocationVault work(vault.session, vault.keys, deriver);
    HourlyKey hourly;
    std::ranges::fill(hourly.span(), std::uint8_t{0x48});
    const std::vector<Bytes> spkis{LocationScene::some_spki()};
    WrappedSteks steks;
    work.derive(key, hourly, spkis, OaepHash::sha1, steks);
    BOOST_TEST((work.chain_epoch() == Chain(vault.session).position()->epoch));
    return steks.name;
}

}  // namespace stek::tests
