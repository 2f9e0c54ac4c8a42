// A program that speaks PKCS#11 as a server's user, against the ticket token of a running stekd.
#define BOOST_TEST_MODULE attack_worker
#include "pkcs11/session.hpp"
#include "tests/attack/scene.hpp"
#include "tests/attack/weak.hpp"
#include "tests/fixtures/faulty_module.hpp"
#include "tests/fixtures/softhsm.hpp"

#include <iostream>
#include <set>

#include <boost/test/unit_test.hpp>

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
