#define BOOST_TEST_MODULE ticket_token
#include "provider/ticket_token.hpp"

#include "provider/probe_acts.hpp"
#include "provider/schedule.hpp"
#include "provider/vault.hpp"
#include "tests/token/known_keys.hpp"
#include "tests/token/wrapped_stek.hpp"

#include <csignal>
#include <filesystem>
#include <map>
#include <set>
#include <thread>

#include <boost/process/args.hpp>
#include <boost/process/child.hpp>
#include <boost/process/io.hpp>
#include <boost/process/search_path.hpp>
#include <boost/test/unit_test.hpp>

using namespace stek;
using namespace stek::tests;
namespace process = boost::process;
namespace fs = std::filesystem;

namespace {

void fill_record(RingRecord& record, const TicketPair& pair) {
    record.pair = pair.id;
    record.oaep = OaepHash::sha1;
    record.wrapped_key = encrypt_to(pair.spki);
}

/// A pair that can do everything, as someone without the design would make it.
TicketPair make_weak_pair(pkcs11::Session& session) {
    TicketPair pair;
    session.random(pair.id);
    const std::array<std::uint8_t, 3> f4{1, 0, 1};
    pkcs11::Attributes public_key, private_key;
    public_key.number(CKA_MODULUS_BITS, 3072).bytes(CKA_PUBLIC_EXPONENT, f4).flag(CKA_TOKEN, true);
    private_key.flag(CKA_TOKEN, true).flag(CKA_PRIVATE, false).flag(CKA_SENSITIVE, false);
    private_key.flag(CKA_EXTRACTABLE, true);
    for (pkcs11::Attributes* half : {&public_key, &private_key})
        half->bytes(CKA_ID, pair.id).text(CKA_LABEL, "stekd ticket pair");
    for (const CK_ATTRIBUTE_TYPE usage : {CKA_UNWRAP, CKA_DECRYPT, CKA_SIGN, CKA_SIGN_RECOVER, CKA_DERIVE})
        private_key.flag(usage, true);
    CK_MECHANISM mechanism{CKM_RSA_PKCS_KEY_PAIR_GEN, nullptr, 0};
    pair.spki =
        read_rsa_spki(session, session.generate_key_pair(mechanism, public_key, private_key).public_key);
    return pair;
}

/// What a program would ask for that wants the STEK for itself.
pkcs11::Attributes loose_stek_template() {
    pkcs11::Attributes key;
    key.number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_AES).flag(CKA_TOKEN, false);
    key.flag(CKA_PRIVATE, false).flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE, true);
    for (const CK_ATTRIBUTE_TYPE usage :
         {CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE})
        key.flag(usage, true);
    return key;
}

/// By SoftHSM's files: what no search finds counts too.
std::size_t object_files(const TestToken& token) {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(token.directory))
        if (entry.path().extension() == ".object" && entry.path().filename() != "token.object")
            ++count;
    return count;
}

void report(const std::vector<ProbeResult>& results) {
    for (const ProbeResult& result : results)
        BOOST_TEST_MESSAGE((result.refused ? "refused  " : "GRANTED  ")
                           << result.attempt << ": " << result.answer);
}

std::pair<int, std::string> run_as_nobody(const std::vector<std::string>& arguments) {
    std::vector<std::string> all{"--reuid", "nobody", "--regid", "nogroup", "--clear-groups", STEK_HELPER};
    all.insert(all.end(), arguments.begin(), arguments.end());
    process::ipstream out;
    process::child child(process::search_path("setpriv"), process::args(all), process::std_out > out);
    std::string line;
    std::getline(out, line);
    child.wait();
    return {child.exit_code(), line};
}

}  // namespace

BOOST_AUTO_TEST_CASE(softhsm_offers_what_a_ticket_token_needs) {
    OpenToken ticket("ticket");
    BOOST_CHECK_NO_THROW(ticket.token->require(ticket_mechanisms(true)));
    BOOST_TEST(ticket_mechanisms(false).size() + 1 == ticket_mechanisms(true).size());
    BOOST_TEST((ticket_oaep_hash(ticket.token) == OaepHash::sha1));
    BOOST_TEST(ticket.session_objects() == 0U);
}

BOOST_AUTO_TEST_CASE(a_pair_unwraps_a_stek_that_seals) {
    OpenToken ticket("ticket");
    const TicketPair pair = make_ticket_pair(ticket.session, false);
    BOOST_TEST(parse_rsa_spki(pair.spki) != nullptr);
    BOOST_TEST(EVP_PKEY_get_bits(parse_rsa_spki(pair.spki).get()) == 3072);
    RingRecord record;
    fill_record(record, pair);
    const CK_OBJECT_HANDLE key = unwrap_stek(ticket.session, record);
    BOOST_TEST(token_gcm(ticket.session, key) == expected_gcm());
    BOOST_TEST(!ticket.session.attribute(key, CKA_VALUE).has_value());
    for (const auto& [type, value] : std::map<CK_ATTRIBUTE_TYPE, std::uint8_t>{{CKA_SENSITIVE, 1},
                                                                               {CKA_EXTRACTABLE, 0},
                                                                               {CKA_TOKEN, 0},
                                                                               {CKA_PRIVATE, 0},
                                                                               {CKA_DERIVE, 0},
                                                                               {CKA_WRAP, 0},
                                                                               {CKA_UNWRAP, 0},
                                                                               {CKA_SIGN, 0},
                                                                               {CKA_VERIFY, 0},
                                                                               {CKA_COPYABLE, 0},
                                                                               {CKA_MODIFIABLE, 0}})
        BOOST_TEST((ticket.session.attribute(key, type) == std::vector<std::uint8_t>{value}),
                   "attribute " << type);
    BOOST_TEST(ticket.token_objects() == 2U);
}

BOOST_AUTO_TEST_CASE(a_stek_goes_from_vault_to_ticket_token) {
    SoftHsm softhsm;
    const TestToken vault_made = softhsm.make_token("vault");
    const TestToken ticket_made = softhsm.make_token("ticket");
    pkcs11::Session vault =
        log_in(find_token(SoftHsm::uri(vault_made)), "file:" + vault_made.pin_file.string());
    pkcs11::Session ticket =
        log_in(find_token(SoftHsm::uri(ticket_made)), "file:" + ticket_made.pin_file.string());
    const TicketPair pair = make_ticket_pair(ticket, false);
    Chain chain(vault);
    chain.make({0, 1});
    const std::vector<std::uint8_t> hourly(hourly_key_size, 0x48);
    WrappedStek first, second;
    derive_stek(vault, chain.at_epoch(1).get(), 0, hourly, pair.spki, first,
                ticket_oaep_hash(ticket.shared_token()));
    derive_stek(vault, chain.at_epoch(1).get(), 0, hourly, pair.spki, second);
    BOOST_TEST((first.wrapped_key != second.wrapped_key));  // OAEP is randomised
    std::string sealed;
    for (const WrappedStek* stek : {&first, &second}) {
        RingRecord record;
        record.pair = pair.id;
        record.oaep = stek->oaep;
        record.wrapped_key = stek->wrapped_key;
        const std::string out = token_gcm(ticket, unwrap_stek(ticket, record));
        BOOST_TEST((sealed.empty() || sealed == out));
        sealed = out;
    }
}

BOOST_AUTO_TEST_CASE(pairs_are_listed_and_destroyed_whole) {
    OpenToken ticket("ticket");
    BOOST_TEST(list_ticket_pairs(ticket.session).empty());
    const TicketPair first = make_ticket_pair(ticket.session, false);
    const TicketPair second = make_ticket_pair(ticket.session, false);
    BOOST_TEST(first.id != second.id);
    BOOST_TEST((first.spki != second.spki));
    auto ids = std::vector<PairId>{first.id, second.id};
    std::ranges::sort(ids);
    BOOST_TEST((list_ticket_pairs(ticket.session) == ids));
    BOOST_TEST(find_ticket_pair(ticket.session, first.id) != CK_INVALID_HANDLE);
    BOOST_TEST(destroy_ticket_pair(ticket.session, first.id));
    BOOST_TEST(!destroy_ticket_pair(ticket.session, first.id));
    BOOST_TEST(find_ticket_pair(ticket.session, first.id) == CK_INVALID_HANDLE);
    BOOST_TEST((list_ticket_pairs(ticket.session) == std::vector<PairId>{second.id}));
    BOOST_TEST(ticket.token_objects() == 2U);
    // A half that a kill left behind is listed too, and goes.
    ticket.session.destroy(find_ticket_pair(ticket.session, second.id));
    BOOST_TEST((list_ticket_pairs(ticket.session) == std::vector<PairId>{second.id}));
    BOOST_TEST(destroy_ticket_pair(ticket.session, second.id));
    BOOST_TEST(ticket.token_objects() == 0U);
}

BOOST_AUTO_TEST_CASE(a_revoked_key_unwraps_no_more) {
    OpenToken ticket("ticket");
    const TicketPair pair = make_ticket_pair(ticket.session, false);
    RingRecord record;
    fill_record(record, pair);
    unwrap_stek(ticket.session, record);
    destroy_ticket_pair(ticket.session, pair.id);
    BOOST_CHECK_THROW(unwrap_stek(ticket.session, record), pkcs11::TokenError);
    // Another pair under the old one's name does not help either.
    const TicketPair other = make_ticket_pair(ticket.session, false);
    record.pair = other.id;
    BOOST_CHECK_THROW(unwrap_stek(ticket.session, record), pkcs11::Error);
}

BOOST_AUTO_TEST_CASE(a_damaged_wrapping_is_an_error) {
    OpenToken ticket("ticket");
    const TicketPair pair = make_ticket_pair(ticket.session, false);
    RingRecord record;
    fill_record(record, pair);
    const auto good = record.wrapped_key;
    const auto refused = [&](std::vector<std::uint8_t> wrapped) {
        record.wrapped_key = std::move(wrapped);
        pkcs11::Session session(ticket.token, pkcs11::Access::read_only);
        BOOST_CHECK_THROW(unwrap_stek(session, record), pkcs11::Error);
    };
    for (std::size_t bit = 0; bit < 8 * good.size(); bit += 61) {
        auto wrapped = good;
        wrapped[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
        refused(wrapped);
    }
    for (const std::size_t size : {0U, 1U, 256U, 383U})
        refused(std::vector<std::uint8_t>(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)));
    auto longer = good;
    longer.push_back(0);
    refused(longer);
    refused(encrypt_to(pair.spki, RSA_PKCS1_PADDING));
    record.oaep = OaepHash::sha256;
    refused(good);
}

BOOST_AUTO_TEST_CASE(the_probe_passes_and_leaves_nothing) {
    OpenToken ticket("ticket");
    const TicketPair stays = make_ticket_pair(ticket.session, false);
    const auto results = probe_enforcement(ticket.session, false);
    report(results);
    BOOST_TEST(results.size() >= 15U);
    for (const ProbeResult& result : results)
        BOOST_TEST(result.refused, result.attempt << ": " << result.answer);
    BOOST_TEST(enforced(results));
    BOOST_TEST(ticket.token_objects() == 2U);
    BOOST_TEST(ticket.session_objects() == 0U);
    BOOST_TEST((list_ticket_pairs(ticket.session) == std::vector<PairId>{stays.id}));
    BOOST_TEST(object_files(ticket.made) == 2U);
    // The same where private halves are CKA_PRIVATE, as on a real HSM.
    BOOST_TEST(enforced(probe_enforcement(ticket.session, true)));
    BOOST_TEST(object_files(ticket.made) == 2U);
}

// Each attempt succeeds where nothing forbids it, so a refusal is the token's doing. Three that SoftHSM never
// grants: it has no raw RSA unwrapping, CKA_ALLOWED_MECHANISMS does not change, and of an attribute that is
// there twice it makes the key by the last.
BOOST_AUTO_TEST_CASE(the_probe_reports_a_pair_without_templates) {
    OpenToken ticket("ticket");
    const TicketPair weak = make_weak_pair(ticket.session);
    const auto results = probe_pair(ticket.session, weak, loose_stek_template);
    report(results);
    BOOST_TEST(!enforced(results));
    std::set<std::string> refused;
    for (const ProbeResult& result : results)
        if (result.refused)
            refused.insert(result.attempt + ": " + result.answer);
    const std::set<std::string> never{
        "unwrap with attributes twice, the right ones last: CKR_ATTRIBUTE_SENSITIVE",
        "unwrap without padding: CKR_MECHANISM_INVALID",
        "change the pair's mechanisms: CKR_ATTRIBUTE_READ_ONLY"};
    BOOST_TEST(refused == never, boost::test_tools::per_element());
    BOOST_TEST(ticket.token_objects() == 2U);
    BOOST_TEST(object_files(ticket.made) == 2U);
}

// A stekd that starts while somebody probes.
BOOST_AUTO_TEST_CASE(the_probe_removes_what_it_made_and_nothing_else) {
    OpenToken ticket("ticket");
    probe::Attempts attempts(ticket.session);
    TicketPair others;
    attempts.add("make a pair meanwhile", [&](pkcs11::Session& session) {
        others = make_ticket_pair(session, false);
        return false;
    });
    BOOST_TEST((list_ticket_pairs(ticket.session) == std::vector<PairId>{others.id}));
    BOOST_TEST(ticket.token_objects() == 2U);
    const auto unlabelled = [] {
        pkcs11::Attributes made;
        made.number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_AES).number(CKA_VALUE_LEN, 32);
        made.flag(CKA_TOKEN, true).flag(CKA_PRIVATE, false);
        return made;
    };
    attempts.add("make keys", [&](pkcs11::Session& session) {
        CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
        pkcs11::Attributes mine = probe::marked(unlabelled()), nameless = unlabelled();
        pkcs11::Attributes foreign = unlabelled();
        foreign.text(CKA_LABEL, "another's");
        for (auto* made : {&mine, &nameless, &foreign})
            session.generate_key(mechanism, *made);
        return false;
    });
    BOOST_TEST(ticket.token_objects() == 3U);
    BOOST_TEST(object_files(ticket.made) == 3U);
}

BOOST_AUTO_TEST_CASE(a_pair_that_cannot_be_used_is_no_proof) {
    OpenToken ticket("ticket");
    const TicketPair pair = make_ticket_pair(ticket.session, false);
    BOOST_CHECK_THROW(probe_pair(ticket.session, pair, loose_stek_template), pkcs11::TokenError);
    destroy_ticket_pair(ticket.session, pair.id);
    BOOST_CHECK_THROW(probe_pair(ticket.session, pair), pkcs11::TokenError);
    BOOST_TEST(object_files(ticket.made) == 0U);
}

BOOST_AUTO_TEST_CASE(no_results_are_no_proof) {
    BOOST_TEST(!enforced({}));
    BOOST_TEST(enforced({{"x", true, "CKR_TEMPLATE_INCONSISTENT"}}));
    BOOST_TEST(!enforced({{"x", true, "CKR_TEMPLATE_INCONSISTENT"}, {"y", false, "CKR_OK"}}));
}

// The file permissions are the gate: read-only for another user, no login, and it works.
BOOST_AUTO_TEST_CASE(another_user_with_read_access_can_seal_and_not_write) {
    SoftHsm softhsm;
    const TestToken made = softhsm.make_token("ticket");
    RingRecord record;
    {
        pkcs11::Session session = log_in(find_token(SoftHsm::uri(made)), "file:" + made.pin_file.string());
        fill_record(record, make_ticket_pair(session, false));
    }
    const std::vector<std::string> seal{"seal", SoftHsm::uri(made), to_hex(record.pair), "SHA1",
                                        to_hex(record.wrapped_key)};
    BOOST_TEST(run_as_nobody(seal).first != 0);  // SoftHSM's directory is closed by default
    const auto open_to_read = [](const fs::path& path) {
        const bool directory = fs::is_directory(path);
        fs::permissions(path, directory ? fs::perms(0755) : fs::perms(0644));
    };
    open_to_read(softhsm.directory());
    open_to_read(softhsm.conf());
    open_to_read(softhsm.tokens());
    open_to_read(made.directory);
    for (const auto& entry : fs::directory_iterator(made.directory))
        open_to_read(entry.path());
    const auto [code, line] = run_as_nobody(seal);
    BOOST_TEST(code == 0, line);
    BOOST_TEST(line == expected_gcm());
    const auto [write_code, answer] = run_as_nobody({"write", SoftHsm::uri(made)});
    BOOST_TEST(write_code != 0, answer);
    BOOST_TEST(answer.find("CKR_") != std::string::npos, answer);
}

// Killed while pairs are made and destroyed, what is left can be listed and destroyed.
BOOST_AUTO_TEST_CASE(a_kill_while_pairs_are_made_leaves_nothing_hidden) {
    SoftHsm softhsm;
    const TestToken made = softhsm.make_token("ticket");
    for (unsigned round = 0; round < 6; ++round) {
        SoftHsm::finalize();
        process::ipstream out;
        process::child child(STEK_HELPER, "make-pairs", SoftHsm::uri_with_pin(made), process::std_out > out);
        std::string line;
        BOOST_REQUIRE(std::getline(out, line));
        BOOST_REQUIRE_EQUAL(line, "ready");
        std::this_thread::sleep_for(std::chrono::milliseconds(300 + 97 * round));
        BOOST_REQUIRE_EQUAL(kill(child.id(), SIGKILL), 0);
        child.wait();
        pkcs11::Session session = log_in(find_token(SoftHsm::uri(made)), "file:" + made.pin_file.string());
        for (const PairId& id : list_ticket_pairs(session))
            BOOST_TEST(destroy_ticket_pair(session, id));
        BOOST_TEST(list_ticket_pairs(session).empty());
        RingRecord record;
        const TicketPair pair = make_ticket_pair(session, false);
        fill_record(record, pair);
        BOOST_TEST(token_gcm(session, unwrap_stek(session, record)) == expected_gcm());
        destroy_ticket_pair(session, pair.id);
    }
}
