// Who gained write access: planted pairs and replayed rings. And that SoftHSM's files are keys to who reads
// them.
#define BOOST_TEST_MODULE attack_old_keys
#include "daemon/state.hpp"
#include "pkcs11/session.hpp"
#include "provider/ticket_token.hpp"
#include "tests/attack/scene.hpp"
#include "tests/fixtures/child.hpp"
#include "tests/fixtures/instance.hpp"
#include "tests/fixtures/known_ring.hpp"
#include "tests/fixtures/memory_tls.hpp"
#include "tests/token/open_token.hpp"

#include <csignal>
#include <grp.h>
#include <pwd.h>
#include <set>
#include <thread>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <openssl/conf.h>

using namespace stek;
using namespace stek::attack;
namespace fs = std::filesystem;

namespace {

/// Objects of a pair that everybody may use, in the ticket token by the id and label of one of stekd's. Of a
/// pair that is there the public half goes: whoever looks for it finds the planted one.
void plant(const Target& target, const PairId& id) {
    ::setenv("SOFTHSM2_CONF", (target.directory / "softhsm2.conf").c_str(), 1);
    {
        pkcs11::Session session(
            tests::find_token("pkcs11:token=stekd-ticket?module-path=" + std::string(tests::softhsm_module)),
            pkcs11::Access::read_write);
        pkcs11::Attributes there;
        there.number(CKA_CLASS, CKO_PUBLIC_KEY).bytes(CKA_ID, id);
        for (const CK_OBJECT_HANDLE half : session.find(there))
            session.destroy(half);
        const std::array<std::uint8_t, 3> f4{1, 0, 1};
        pkcs11::Attributes open, secret;
        open.number(CKA_MODULUS_BITS, 3072).bytes(CKA_PUBLIC_EXPONENT, f4).flag(CKA_WRAP, true);
        secret.flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE, true).flag(CKA_UNWRAP, true);
        for (auto* half : {&open, &secret})
            half->flag(CKA_TOKEN, true)
                .flag(CKA_PRIVATE, false)
                .bytes(CKA_ID, id)
                .text(CKA_LABEL, "stekd ticket pair");
        CK_MECHANISM by{CKM_RSA_PKCS_KEY_PAIR_GEN, nullptr, 0};
        session.generate_key_pair(by, open, secret);
    }
    tests::SoftHsm::finalize();
}

}  // namespace

BOOST_AUTO_TEST_CASE(stekd_wraps_to_no_planted_pair) {
    const Target target;
    PairId strange{};
    strange.fill(0xA7);
    plant(target, strange);
    const Key planted = private_half_in(target.ticket_directory(), strange);
    BOOST_REQUIRE(planted);
    for (int round = 0; round < 2; ++round) {
        const auto outcome = target.control({"rotate"});
        BOOST_TEST(outcome.exit_code == 0, outcome.output);
        const auto state = daemon::StateDirectory::peek(target.directory / "state");
        const auto ring = target.ring();
        BOOST_TEST(ring->records.size() >= 2U);
        for (const auto& record : ring->records) {
            BOOST_TEST((record->pair != strange));
            BOOST_TEST(state.public_keys.contains(record->pair), "a pair that stekd did not make");
            BOOST_TEST(unwrapped_outside(planted, *record).empty(), "wrapped to the planted pair");
        }
    }
}

// Epochs of two seconds share a pair for ten minutes, so more keys are wrapped to one that was planted over.
BOOST_AUTO_TEST_CASE(stekd_wraps_to_its_own_half_of_a_pair_that_is_planted_over) {
    Target target;
    target.edit("period = 3600", "period = 2");
    target.edit("session_timeout = 7200", "session_timeout = 60");
    target.daemon->signal(SIGHUP);
    BOOST_REQUIRE(target.says("configuration read anew"));
    // The last key in the ring is for ten seconds from now: from then on the pair is to last for a while.
    BOOST_REQUIRE(
        test::eventually([] { return (std::time(nullptr) + 10) % 600 < 560; }, std::chrono::seconds(60)));
    std::shared_ptr<const KeyRing> before;
    BOOST_REQUIRE(test::eventually(
        [&] {
            before = target.ring();
            const auto now = std::time(nullptr);
            const auto* last = before->records.back().get();
            return before->period == 2 && last->not_before > now && last->not_before % 600 < 570;
        },
        std::chrono::seconds(60)));
    const PairId known = before->records.back()->pair;
    const Key real = private_half_in(target.ticket_directory(), known);
    BOOST_REQUIRE(real);
    plant(target, known);
    std::set<KeyName> seen;
    for (const auto ring = target.ring();
         const auto& record : ring->records)  // some may have come while it was planted
        seen.insert(record->name);
    unsigned wrapped_since = 0;
    const bool enough = test::eventually([&] {
        for (const auto ring = target.ring(); const auto& record : ring->records) {
            if (!seen.insert(record->name).second || record->pair != known)
                continue;
            ++wrapped_since;
            BOOST_TEST(unwrapped_outside(real, *record).size() == 32U,
                       "wrapped to the planted pair of the same id");
        }
        return wrapped_since >= 3;
    });
    BOOST_TEST(enough, target.log());
}

// Threat model, the ticket token's files: SoftHSM keeps keys in them. Stated, and so it is.
BOOST_AUTO_TEST_CASE(who_reads_softhsm_s_files_has_the_keys_and_an_expired_ring_is_none) {
    Target target;
    const auto ticket = target.real_ticket();
    const Prize prize(target.stek_of(ticket), ticket, Target::audience());
    const int left = tests::in_child([&] {
        const auto* user = ::getpwnam(server_user);
        if (user == nullptr || ::setgroups(0, nullptr) != 0 || ::setgid(user->pw_gid) != 0 ||
            ::setuid(user->pw_uid) != 0)
            return 2;
        const auto stek = target.stek_of(ticket);
        return stek.size() == 32 && prize.opens(stek.data()) ? 0 : 1;
    });
    BOOST_TEST(left == 0, "the files are no longer enough: then say so in the threat model");
    // A ring whose windows are over is not used, though pair and key are there.
    auto ring = std::make_unique<KeyRing>();
    const auto now = target.ring();
    ring->location = now->location;
    ring->token_serial = now->token_serial;
    ring->generation = now->generation + 1;
    ring->period = now->period;
    for (const auto& record : now->records) {
        auto old = std::make_unique<RingRecord>();
        old->epoch = record->epoch;
        old->revision = record->revision;
        old->not_before = 1000;
        old->seal_until = 2000;
        old->open_until = 3000;
        old->name = record->name;
        old->pair = record->pair;
        old->oaep = record->oaep;
        old->wrapped_key = record->wrapped_key;
        std::copy_n(record->admission_key.data(), admission_key_size, old->admission_key.data());
        ring->records.push_back(std::move(old));
    }
    target.daemon->stop();  // it would put its own ring back at once
    BOOST_TEST(sealing_record(*ring, std::time(nullptr), 2) == nullptr);
    replace_ring_file(target.ring_file(), encode_ring(*ring).bytes(), [](int) {});
    BOOST_CHECK_THROW(target.real_ticket(), std::runtime_error);
}

// The last one, for it attaches the provider to this process. A copy of the ring from before a revocation: as
// the server's user, and by root in the ring's place.
BOOST_AUTO_TEST_CASE(an_old_ring_opens_nothing_after_a_revocation) {
    const Target target;
    const auto conf = target.space.path() / "server.cnf", copy = target.space.path() / "old-ring";
    test::write_file(conf, tests::provider_conf(target.section()));
    BOOST_REQUIRE(CONF_modules_load_file(conf.c_str(), nullptr, 0) == 1);
    const tests::Identity identity("www.stek.test");
    const auto client = tests::client_ctx(TLS1_3_VERSION), server = tests::server_ctx(identity);
    const auto before = tests::connect(client.get(), server.get());
    BOOST_REQUIRE(!before.ticket.empty());
    BOOST_TEST(tests::connect(client.get(), server.get(), before.session.get()).resumed);
    fs::copy_file(target.ring_file(), copy);
    fs::permissions(copy, fs::perms(0644));
    const Prize prize(target.stek_of(before.ticket), before.ticket, Target::audience());

    BOOST_REQUIRE(target.control({"revoke", "all"}).exit_code == 0);
    Judge judge(prize);
    judge.run(server_user, {"replay", tests::softhsm_module, copy}, target.environment());
    judge.print();
    BOOST_TEST(judge.count(Verdict::refused) == 2U);

    test::write_file(target.ring_file(), test::read_file(copy));
    std::this_thread::sleep_for(std::chrono::milliseconds(2200));  // servers look once a second
    const auto after = tests::connect(client.get(), server.get(), before.session.get());
    BOOST_TEST(after.done, after.error);
    BOOST_TEST(!after.resumed);
}
