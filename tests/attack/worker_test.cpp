// A program that speaks PKCS#11 as a server's user, against the ticket token of a running stekd.
#define BOOST_TEST_MODULE attack_worker
#include "pkcs11/session.hpp"
#include "tests/attack/scene.hpp"
#include "tests/attack/weak.hpp"
#include "tests/fixtures/child.hpp"
#include "tests/fixtures/faulty_module.hpp"
#include "tests/fixtures/known_ring.hpp"
#include "tests/fixtures/memory_tls.hpp"
#include "tests/token/open_token.hpp"

#include <csignal>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <set>

#include <boost/test/unit_test.hpp>
#include <openssl/conf.h>

namespace fs = std::filesystem;

using namespace stek;
using namespace stek::attack;

namespace {

void none_succeeds(const Judge& judge) {
    judge.print();
    for (const Tried& row : judge.tried()) {
        BOOST_TEST((row.verdict != Verdict::succeeded),
                   row.group << ": " << row.name << ": " << row.answer << ": " << row.use);
        BOOST_TEST((row.verdict != Verdict::broken),
                   row.group << ": " << row.name << ": " << row.answer << " proves nothing");
    }
    BOOST_TEST(judge.count(Verdict::succeeded) == 0U);
}

}  // namespace

BOOST_AUTO_TEST_CASE(all_of_cryptoki_gives_a_server_s_user_no_stek) {
    const Target target;
    const auto ticket = target.real_ticket(), stek = target.stek_of(ticket);
    const Prize prize(stek, ticket, Target::audience());
    BOOST_REQUIRE_EQUAL(stek.size(), 32U);
    BOOST_REQUIRE(prize.opens(stek.data()));  // the judge knows a success when there is one
    const auto before = target.files();

    // It passes every call on to SoftHSM, and counts them.
    const tests::FaultyModule counting(target.space.path());
    Judge judge(prize);
    judge.run(server_user, {"worker", counting.path(), target.ring_file()}, target.environment());
    none_succeeds(judge);
    BOOST_TEST(judge.attempts() >= 80U);
    BOOST_TEST(judge.count(Verdict::refused) >= 80U);
    for (const auto function : tests::cryptoki_functions)
        BOOST_TEST(counting.calls(function) > 0U, function << " was not tried");

    BOOST_TEST((target.files() == before), "the token's files and the ring are as they were");
    BOOST_TEST(target.stek_of(target.real_ticket()).size() == 32U);
    BOOST_TEST(target.control({"rotate"}).exit_code == 0);
}

// The same attempts on a pair without the design's templates, in a token that the attacker may write to: what
// is refused above is refused by the templates and the files' access, not for being malformed.
BOOST_AUTO_TEST_CASE(the_same_attempts_succeed_on_a_token_without_templates) {
    const WeakToken weak;
    const Prize prize(weak.stek(), {}, {});
    Judge judge(prize);
    judge.run("root", {"loose", tests::softhsm_module, weak.ring_file()}, weak.environment());
    judge.print();
    std::set<std::string> won, with_bytes;
    for (const Tried& row : judge.tried())
        if (row.verdict == Verdict::succeeded) {
            won.insert(row.group);
            if (prize.is_in(row.bytes))
                with_bytes.insert(row.group + ": " + row.name);
        }
    for (const char* group : {"unwrap", "oracle", "pair", "STEK", "copy", "set", "plant"})
        BOOST_TEST(won.contains(group), group << ": nothing succeeded");
    for (const char* row : {"unwrap: EXTRACTABLE=true", "unwrap: all that a key can do",
                            "STEK: read CKA_VALUE", "STEK: wrap with a key of one's own by CKM_AES_KEY_WRAP",
                            "STEK: wrap with a key of one's own by CKM_RSA_PKCS"})
        BOOST_TEST(with_bytes.contains(row), row);
    BOOST_TEST(judge.count(Verdict::succeeded) >= 60U);
}

BOOST_AUTO_TEST_CASE(files_and_stekd_s_process_are_closed_to_a_server_s_user) {
    Target target;
    test::write_file(target.directory / "run/stats/2.2", "another's counters");
    std::filesystem::permissions(target.directory / "run/stats/2.2", std::filesystem::perms(0640));
    const auto ticket = target.real_ticket();
    const Prize prize(target.stek_of(ticket), ticket, Target::audience());
    const auto before = target.files();
    Judge judge(prize);
    judge.run(server_user,
              {"files", tests::softhsm_module, target.ring_file(), target.directory,
               std::to_string(target.daemon->pid())},
              target.environment());
    none_succeeds(judge);
    BOOST_TEST(judge.attempts() >= 80U);
    BOOST_TEST((target.files() == before));
    BOOST_TEST(target.daemon->running());
    BOOST_TEST(target.control({"rotate"}).exit_code == 0);
}

namespace {

using Instance = test::StekdInstance;
using Section = std::map<std::string, std::string>;

/// What a server does that starts now, in a process of its own: a handshake that offers the session in a
/// file, if it is there. A ticket that comes is left in another.
struct Served {
    bool done, resumed, ticket;
    bool operator==(const Served&) const = default;
};
Served serve(const Instance& instance, const Section& section, const fs::path& offered, const fs::path& got) {
    const auto conf = instance.space.path() / "server.cnf";
    test::write_file(conf, tests::provider_conf(section));
    const int status = tests::in_child([&] {
        if (CONF_modules_load_file(conf.c_str(), nullptr, 0) != 1)
            return 0;
        const auto text = test::read_file(offered);
        const auto* at = reinterpret_cast<const unsigned char*>(text.data());
        const tests::Session session(
            text.empty() ? nullptr : d2i_SSL_SESSION(nullptr, &at, static_cast<long>(text.size())));
        const tests::Identity identity("www.stek.test");
        const auto client = tests::client_ctx(TLS1_3_VERSION), server = tests::server_ctx(identity);
        const auto shaken = tests::connect(client.get(), server.get(), session.get());
        if (!shaken.ticket.empty()) {
            std::vector<unsigned char> out(
                static_cast<std::size_t>(i2d_SSL_SESSION(shaken.session.get(), nullptr)));
            auto* to = out.data();
            i2d_SSL_SESSION(shaken.session.get(), &to);
            test::write_file(got, {reinterpret_cast<const char*>(out.data()), out.size()});
        }
        return 8 | (shaken.done ? 1 : 0) | (shaken.resumed ? 2 : 0) | (shaken.ticket.empty() ? 0 : 4);
    });
    BOOST_REQUIRE(WIFEXITED(status));
    const int said = WEXITSTATUS(status);
    BOOST_REQUIRE((said & 8) != 0);
    return {(said & 1) != 0, (said & 2) != 0, (said & 4) != 0};
}

/// Runs `act` in a process of its own, logged in to the ticket token; what it returns, up to 255.
int with_the_pin(const Instance& instance, const std::function<int(pkcs11::Session&)>& act) {
    const int status = tests::in_child([&] {
        ::setenv("SOFTHSM2_CONF", (instance.directory / "softhsm2.conf").c_str(), 1);
        auto session = tests::log_in(
            tests::find_token("pkcs11:token=stekd-ticket?module-path=" + std::string(tests::softhsm_module)),
            "file:" + (instance.directory / "pins/ticket.pin").string());
        return act(session);
    });
    BOOST_REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
}

std::vector<CK_OBJECT_HANDLE> in_token(pkcs11::Session& session,
                                       std::optional<CK_OBJECT_CLASS> what = std::nullopt) {
    pkcs11::Attributes pattern;
    pattern.flag(CKA_TOKEN, true);
    if (what)
        pattern.number(CKA_CLASS, *what);
    return session.find(pattern);
}

int destroy_all(pkcs11::Session& session) {
    const auto all = in_token(session);
    for (const auto object : all)
        session.destroy(object);
    return static_cast<int>(all.size());
}

}  // namespace

// On an HSM its PIN is enough; on SoftHSM it takes the right to write its files as well. Threat model: an
// outage, no key.
BOOST_AUTO_TEST_CASE(with_the_ticket_token_s_pin_pairs_are_destroyed_and_no_key_is_had) {
    const Target target;
    const auto ticket = target.real_ticket();
    const Prize prize(target.stek_of(ticket), ticket, Target::audience());
    const auto first = target.space.path() / "first", next = target.space.path() / "next";
    BOOST_TEST((serve(target, target.section(), "", first) == Served{true, false, true}));
    BOOST_TEST((serve(target, target.section(), first, next) == Served{true, true, true}));

    // Without the ring there are but the pairs.
    const auto halves = 2 * target.ring()->records.size();
    BOOST_TEST(with_the_pin(target, [&](pkcs11::Session& session) {
        return in_token(session, CKO_PRIVATE_KEY).size() + in_token(session, CKO_PUBLIC_KEY).size() ==
                           halves &&
                       in_token(session).size() == halves
                   ? 1
                   : 0;
    }));
    // With it there is their use. What may be written is no key of stekd's.
    auto pin = test::read_file(target.directory / "pins/ticket.pin");
    pin.erase(pin.find_last_not_of('\n') + 1);
    Judge judge(prize);
    judge.run("root", {"worker", tests::softhsm_module, target.ring_file(), pin}, target.environment());
    judge.print();
    BOOST_TEST(judge.attempts() >= 80U);
    for (const Tried& row : judge.tried()) {
        BOOST_TEST(!prize.is_in(row.bytes), row.group << ": " << row.name);
        for (const char* group : {"unwrap", "oracle", "pair", "STEK", "copy"})
            BOOST_TEST((row.group != group || row.verdict != Verdict::succeeded),
                       row.group << ": " << row.name << ": " << row.use);
    }
    BOOST_TEST(judge.count(Verdict::succeeded, "set") > 0U, "nothing could be written");

    // An outage, until stekd makes pairs anew.
    target.daemon->signal(SIGSTOP);
    BOOST_TEST(with_the_pin(target, destroy_all) > 0);
    BOOST_TEST((serve(target, target.section(), first, next) == Served{true, false, false}));
    target.daemon->signal(SIGCONT);
    const auto rotated = target.control({"rotate"});
    BOOST_TEST(rotated.exit_code == 0, rotated.output);
    BOOST_TEST((serve(target, target.section(), first, next) == Served{true, false, true}));
    BOOST_TEST((serve(target, target.section(), next, next) == Served{true, true, true}));
}

// As with an HSM, where pairs are private: stekd and servers log in. Threat model: an outage, no key.
BOOST_AUTO_TEST_CASE(who_changes_the_ticket_token_s_pin_makes_an_outage) {
    Instance instance;
    const auto pin_file = instance.directory / "pins/ticket.pin";
    const auto pin_source = "&pin-source=file:" + pin_file.string();
    auto section = Target::section_for(instance);
    instance.edit("uri = \"" + section["token"], "uri = \"" + section["token"] + pin_source);
    instance.edit("private_pairs = false", "private_pairs = true");
    instance.edit("remake_pins", "# remake_pins");
    section["token"] += pin_source;
    const auto first = instance.space.path() / "first", next = instance.space.path() / "next";
    instance.start();
    BOOST_TEST_REQUIRE(instance.says("ready"), instance.log());
    BOOST_TEST((serve(instance, section, "", first) == Served{true, false, true}));
    BOOST_TEST((serve(instance, section, first, next) == Served{true, true, true}));

    auto old = test::read_file(pin_file);
    old.erase(old.find_last_not_of('\n') + 1);
    std::string changed = "changed";
    BOOST_TEST(with_the_pin(instance, [&](pkcs11::Session& session) {
        const auto as_text = [](std::string& text) { return reinterpret_cast<CK_UTF8CHAR_PTR>(text.data()); };
        return session.shared_token()->module().functions().C_SetPIN(
                   session.handle(), as_text(old), old.size(), as_text(changed), changed.size()) == CKR_OK
                   ? 1
                   : 0;
    }));
    BOOST_TEST((serve(instance, section, first, next) == Served{true, false, false}));
    instance.daemon->stop();
    instance.start();
    BOOST_TEST(instance.says("CKR_PIN_INCORRECT"), instance.log());

    // Whoever has the true one ends it, and the keys are still there.
    test::write_file(pin_file, changed);
    instance.start();
    BOOST_TEST_REQUIRE(instance.says("ready"), instance.log());
    BOOST_TEST((serve(instance, section, first, next) == Served{true, true, true}));
}
