// The bodies of the fleet's frames: what decodes encodes to the same bytes, and all else is refused, by who
// writes and by who reads. Behind a signature that is good: a party may be hostile too.
#define BOOST_TEST_MODULE fleet_formats
#include "sample_fleet.hpp"
#include "tests/fixtures/recoded.hpp"

#include <functional>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <openssl/err.h>

namespace stek::fleet {
namespace {

using test::Octets;
using test::sample_fleet;
using tests::all_kinds;
using tests::recoded;

template <class Error>
void check_thrown(Kind kind, const std::string& reason, const std::function<void()>& call) {
    BOOST_CHECK_EXCEPTION(call(), Error, [&](const Error& error) {
        BOOST_TEST_INFO(error.what());
        const std::string said = error.what();
        return said.starts_with(std::string(name_of(kind)) + ": ") && said.find(reason) != std::string::npos;
    });
    BOOST_TEST(ERR_peek_error() == 0U);
}

/// A heap block of exactly the body's size: ASan sees one byte read beyond.
void check_body_refused(Kind kind, const Octets& body, const std::string& reason = "") {
    const Octets exact(body.begin(), body.end());
    check_thrown<FrameError>(kind, reason, [&] { (void)recoded(kind, exact); });
}

BOOST_AUTO_TEST_CASE(every_flipped_bit_is_refused_or_is_another_body) {
    unsigned taken = 0, refused = 0;
    for (const Kind kind : all_kinds) {
        const Octets body = sample_fleet().body(kind);
        for (std::size_t bit = 0; bit < body.size() * 8; ++bit) {
            Octets flipped = body;
            flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
            BOOST_TEST_CONTEXT(name_of(kind) << ", bit " << bit) {
                try {
                    BOOST_TEST((recoded(kind, flipped) == flipped));
                    ++taken;
                } catch (const FrameError&) {
                    ++refused;
                }
            }
        }
    }
    BOOST_TEST(taken > 1000U);
    BOOST_TEST(refused > 1000U);
}

BOOST_AUTO_TEST_CASE(cut_at_each_byte_is_refused) {
    for (const Kind kind : all_kinds) {
        const Octets body = sample_fleet().body(kind);
        for (std::size_t size = 0; size < body.size(); ++size)
            BOOST_TEST_CONTEXT(name_of(kind) << ", cut to " << size) {
                check_body_refused(kind, {body.begin(), body.begin() + static_cast<std::ptrdiff_t>(size)});
            }
    }
}

BOOST_AUTO_TEST_CASE(more_than_the_body_is_refused) {
    for (const Kind kind : all_kinds) {
        Octets body = sample_fleet().body(kind);
        body.push_back(0);
        check_body_refused(
            kind, body,
            kind == Kind::list || kind == Kind::bundle ? "not the size of its" : "behind its end");
    }
}

BOOST_AUTO_TEST_CASE(noise_is_refused) {
    std::mt19937_64 random(1);
    for (const Kind kind : all_kinds)
        for (const std::size_t size : {std::size_t{77}, std::size_t{260}, std::size_t{10'000'000}}) {
            Octets noise(size);
            for (auto& byte : noise)
                byte = static_cast<std::uint8_t>(random());
            check_body_refused(kind, noise);
        }
}

/// A byte at its place in the table; `another` where the sample has a byte of a key, new in each run.
struct Patch {
    Kind kind;
    std::size_t offset;
    unsigned byte;
    const char* reason;
};
std::ostream& operator<<(std::ostream& out, const Patch& patch) {
    return out << name_of(patch.kind) << ", byte " << patch.offset << ": " << patch.reason;
}

constexpr std::size_t first_party = 84, second_party = first_party + 264;
constexpr std::size_t first_share = 96, second_share = first_share + 121;

constexpr unsigned another = 0x100;

const Patch patches[] = {
    {Kind::request, 0, 0, "unknown role 0"},
    {Kind::request, 0, 4, "unknown role 4"},
    {Kind::request, 0, 1, "an origin with a location or a sealing key"},
    {Kind::request, 1, 1, "something where there is nothing yet"},
    {Kind::request, 2, 0, "behind the end of a text"},
    {Kind::request, 2, '.', "name is not"},
    {Kind::request, 65, 'x', "behind the end of a text"},
    {Kind::request, 66, 0, "behind the end of a text"},
    {Kind::request, 66, '/', "location is not"},
    {Kind::request, 130, 2, "signing key is not an uncompressed point"},
    {Kind::request, 194, another, "a key is not a point of P-256"},
    {Kind::request, 195, 0, "sealing key is not an uncompressed point"},
    {Kind::request, 259, another, "a key is not a point of P-256"},
    {Kind::list, 7, 0, "serial 0"},
    {Kind::list, 8, 0x80, "signed before 1970"},
    {Kind::list, 16, 'a', "party 1: not a role for this list"},
    {Kind::list, 16, ' ', "location is not"},
    {Kind::list, 79, 'a', "behind the end of a text"},
    {Kind::list, 80, 0xff, "items, more than 7900"},
    {Kind::list, 82, 0x1e, "not the size of its 7682 items"},
    {Kind::list, 83, 1, "not the size of its 1 items"},
    {Kind::list, 83, 3, "not the size of its 3 items"},
    {Kind::list, first_party + 3, 0, "party 0: not in order"},
    {Kind::list, first_party + 3, 4, "party 4: not in order"},
    {Kind::list, first_party + 3, 5, "party 4: not in order"},
    {Kind::list, first_party + 4, 0, "party 1: unknown role 0"},
    {Kind::list, second_party + 4, 4, "party 4: unknown role 4"},
    {Kind::list, second_party + 4, 3, "party 4: not a role for this list"},
    {Kind::list, first_party + 5, 0, "party 1: unknown standing 0"},
    {Kind::list, first_party + 5, 3, "party 1: unknown standing 3"},
    {Kind::list, first_party + 6, '.', "party 1: name is not"},
    {Kind::list, first_party + 69, 'x', "behind the end of a text"},
    {Kind::list, first_party + 70, 'x', "an origin with a location or a sealing key"},
    {Kind::list, second_party + 133, 'x', "behind the end of a text"},
    {Kind::list, first_party + 134, 6, "signing key is not"},
    {Kind::list, first_party + 263, 1, "an origin with a location or a sealing key"},
    {Kind::list, second_party + 199, 0, "sealing key is not"},
    {Kind::pre_key, 3, 0, "vault 0"},
    {Kind::pre_key, 12, 3, "not a point of P-256"},
    {Kind::pre_key, 76, another, "not a point of P-256"},
    {Kind::bundle, 12, 0x80, "window not in order"},
    {Kind::bundle, 12, 0x7f, "window not in order"},
    {Kind::bundle, 20, 0x80, "window not in order"},
    {Kind::bundle, 92, 0xff, "items, more than 8192"},
    {Kind::bundle, 94, 0x20, "items, more than 8192"},
    {Kind::bundle, 94, 0x1f, "not the size of its 7938 items"},
    {Kind::bundle, 95, 1, "not the size of its 1 items"},
    {Kind::bundle, 95, 3, "not the size of its 3 items"},
    {Kind::bundle, first_share + 3, 0, "share of vault 0: not in order"},
    {Kind::bundle, first_share + 3, 6, "share of vault 6: not in order"},
    {Kind::bundle, first_share + 3, 7, "share of vault 6: not in order"},
    {Kind::bundle, second_share + 8, 0, "share of vault 6: enc is not"},
    {Kind::pair, 3, 0, "machine 0"},
    {Kind::pair, 4, 0, "behind the end of a text"},
    {Kind::pair, 4, '/', "location is not"},
    {Kind::pair, 67, 'x', "behind the end of a text"},
    {Kind::pair, 92, 0, "unknown OAEP hash 0"},
    {Kind::pair, 92, 3, "unknown OAEP hash 3"},
    {Kind::pair, 93, 1, "something where there is nothing yet"},
    {Kind::pair, 94, 0xff, "ends within a field"},
    {Kind::pair, 95, 0x27, "ends within a field"},
    {Kind::pair, 95, 0x25, "behind its end"},
    {Kind::pair, 96, 0x31, "not one DER SubjectPublicKeyInfo of an RSA key"},
    {Kind::record, 3, 0, "machine 0"},
    {Kind::record, 4, ' ', "location is not"},
    {Kind::record, 67, 'x', "behind the end of a text"},
    {Kind::record, 75, 0, "counter 0"},
    {Kind::record, 88, 0x80, "windows not in order"},
    {Kind::record, 88, 0x7f, "windows not in order"},
    {Kind::record, 96, 0x7f, "windows not in order"},
    {Kind::record, 104, 0x80, "windows not in order"},
    {Kind::record, 112, 0x80, "period of"},
    {Kind::record, 152, 0, "unknown OAEP hash 0"},
    {Kind::record, 152, 3, "unknown OAEP hash 3"},
    {Kind::record, 153, 1, "wrapped key of 256 bytes"},
    {Kind::record, 153, 2, "neither yes nor no"},
    {Kind::record, 154, 0, "behind its end"},
    {Kind::record, 154, 0xff, "ends within a field"},
    {Kind::record, 155, 1, "ends within a field"},
    {Kind::record, 156, 0, "enc is not an uncompressed point"},
    {Kind::ceremony_offer, 3, 0, "vault 0"},
    {Kind::ceremony_offer, 4, 0, "behind the end of a text"},
    {Kind::ceremony_offer, 4, '/', "location is not"},
    {Kind::ceremony_offer, 67, 'x', "behind the end of a text"},
    {Kind::ceremony_offer, 84, 0, "unknown OAEP hash 0"},
    {Kind::ceremony_offer, 84, 3, "unknown OAEP hash 3"},
    {Kind::ceremony_offer, 85, 1, "something where there is nothing yet"},
    {Kind::ceremony_offer, 86, 0x31, "not one DER SubjectPublicKeyInfo of an RSA key"},
    {Kind::ceremony_share, 3, 0, "vault 0"},
    {Kind::ceremony_share, 4, ' ', "location is not"},
    {Kind::ceremony_share, 67, 'x', "behind the end of a text"},
    {Kind::ceremony_share, 108, 0, "unknown OAEP hash 0"},
    {Kind::ceremony_share, 108, 3, "unknown OAEP hash 3"},
    {Kind::ceremony_share, 109, 1, "something where there is nothing yet"},
};

BOOST_DATA_TEST_CASE(bytes_out_of_range_are_refused, boost::unit_test::data::make(patches)) {
    Octets body = sample_fleet().body(sample.kind);
    const unsigned byte = sample.byte == another ? body[sample.offset] ^ 0x5a : sample.byte;
    BOOST_REQUIRE(body[sample.offset] != byte);
    body[sample.offset] = static_cast<std::uint8_t>(byte);
    check_body_refused(sample.kind, body, sample.reason);
}

/// What keeps a value from being encoded.
template <class Value>
struct Wrong {
    const char* reason;
    std::function<void(Value&)> spoil;
};

template <class Value, std::size_t Size>
void check_not_encoded(Kind kind, const Value& good, const Wrong<Value> (&wrongs)[Size],
                       std::vector<std::uint8_t> (*encode)(const Value&)) {
    BOOST_CHECK_NO_THROW(encode(good));
    for (const Wrong<Value>& wrong : wrongs) {
        Value spoilt = good;
        wrong.spoil(spoilt);
        BOOST_TEST_CONTEXT(wrong.reason) {
            check_thrown<std::invalid_argument>(kind, wrong.reason, [&] { (void)encode(spoilt); });
        }
    }
}

BOOST_AUTO_TEST_CASE(requests_that_would_be_refused_are_not_encoded) {
    using Who = EnrolmentRequest;
    const Wrong<Who> wrongs[] = {
        {"unknown role 0", [](Who& r) { r.role = Role{0}; }},
        {"unknown role 4", [](Who& r) { r.role = Role{4}; }},
        {"name is not", [](Who& r) { r.name.clear(); }},
        {"name is not", [](Who& r) { r.name.assign(65, 'a'); }},
        {"name is not", [](Who& r) { r.name = std::string("a\0b", 3); }},
        {"name is not", [](Who& r) { r.name = "a.b"; }},
        {"location is not", [](Who& r) { r.location.clear(); }},
        {"location is not", [](Who& r) { r.location.assign(65, 'a'); }},
        {"location is not", [](Who& r) { r.location = "a/b"; }},
        {"an origin with", [](Who& r) { r.role = Role::origin; }},
        {"signing key is not", [](Who& r) { r.signing_key = {}; }},
        {"sealing key is not", [](Who& r) { r.sealing_key = {}; }},
        {"not a point of P-256", [](Who& r) { r.signing_key = test::off_the_curve(); }},
        {"not a point of P-256", [](Who& r) { r.sealing_key = test::off_the_curve(); }},
    };
    check_not_encoded(Kind::request, sample_fleet().request(), wrongs, encode_request);
    BOOST_CHECK_THROW(fingerprint({}), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(lists_that_would_be_refused_are_not_encoded) {
    const Wrong<PartyList> wrongs[] = {
        {"serial 0", [](PartyList& l) { l.serial = 0; }},
        {"signed before 1970", [](PartyList& l) { l.signed_at = -1; }},
        {"location is not", [](PartyList& l) { l.location = "a b"; }},
        {"location is not", [](PartyList& l) { l.location.assign(65, 'a'); }},
        {"party 1: not a role for this list", [](PartyList& l) { l.location = "ams1"; }},
        {"party 0: not in order", [](PartyList& l) { l.parties[0].number = 0; }},
        {"party 1: not in order", [](PartyList& l) { std::swap(l.parties[0], l.parties[1]); }},
        {"party 1: not in order", [](PartyList& l) { l.parties[1].number = 1; }},
        {"party 4: its name is another's", [](PartyList& l) { l.parties[1].name = l.parties[0].name; }},
        {"party 4: name is not", [](PartyList& l) { l.parties[1].name = "a.b"; }},
        {"party 4: location is not", [](PartyList& l) { l.parties[1].location.clear(); }},
        {"party 4: unknown role", [](PartyList& l) { l.parties[1].role = Role{0}; }},
        {"party 4: unknown standing", [](PartyList& l) { l.parties[1].standing = Standing{0}; }},
        {"party 4: not a role for this list", [](PartyList& l) { l.parties[1].role = Role::machine; }},
        {"party 4: signing key is not", [](PartyList& l) { l.parties[1].signing_key = {}; }},
        {"party 4: sealing key is not", [](PartyList& l) { l.parties[1].sealing_key = {}; }},
        {"party 1: an origin with", [](PartyList& l) { l.parties[0].location = "ams1"; }},
        {"party 1: an origin with", [](PartyList& l) { l.parties[0].sealing_key[64] = 1; }},
        {"7901 parties", [](PartyList& l) { l.parties.resize(7901); }},
    };
    check_not_encoded(Kind::list, sample_fleet().list(), wrongs, encode_list);
    const Wrong<PartyList> wrongs_of_location[] = {
        {"party 9: not a role for this list", [](PartyList& l) { l.location.clear(); }},
        {"party 9: of another location", [](PartyList& l) { l.location = "fra2"; }},
        {"party 9: not a role for this list", [](PartyList& l) { l.parties[0].role = Role::vault; }},
    };
    check_not_encoded(Kind::list, sample_fleet().machines(), wrongs_of_location, encode_list);
}

BOOST_AUTO_TEST_CASE(pre_keys_and_bundles_that_would_be_refused_are_not_encoded) {
    const Wrong<PreKey> wrong_pre_keys[] = {
        {"vault 0", [](PreKey& p) { p.vault = 0; }},
        {"epoch 0", [](PreKey& p) { p.epoch = 0; }},
        {"not a point of P-256", [](PreKey& p) { p.key = {}; }},
        {"not a point of P-256", [](PreKey& p) { p.key = test::off_the_curve(); }},
    };
    check_not_encoded(Kind::pre_key, sample_fleet().vaults_pre_key(), wrong_pre_keys, encode_pre_key);
    const Wrong<Bundle> wrong_bundles[] = {
        {"window not in order", [](Bundle& b) { b.not_before = -1; }},
        {"window not in order", [](Bundle& b) { b.not_after = b.not_before; }},
        {"vault 0: not in order", [](Bundle& b) { b.shares[0].vault = 0; }},
        {"vault 4: not in order", [](Bundle& b) { std::swap(b.shares[0], b.shares[1]); }},
        {"vault 4: not in order", [](Bundle& b) { b.shares[1].vault = 4; }},
        {"vault 6: enc is not", [](Bundle& b) { b.shares[1].enc = {}; }},
        {"8193 shares", [](Bundle& b) { b.shares.resize(8193); }},
    };
    check_not_encoded(Kind::bundle, sample_fleet().bundle(), wrong_bundles, encode_bundle);
}

BOOST_AUTO_TEST_CASE(pairs_and_records_that_would_be_refused_are_not_encoded) {
    const Wrong<MachinePair> wrong_pairs[] = {
        {"machine 0", [](MachinePair& p) { p.machine = 0; }},
        {"location is not", [](MachinePair& p) { p.location = "a\n"; }},
        {"unknown OAEP hash 3", [](MachinePair& p) { p.oaep = OaepHash{3}; }},
        {"not one DER", [](MachinePair& p) { p.public_key.clear(); }},
        {"not one DER", [](MachinePair& p) { p.public_key.push_back(0); }},
        {"public key of 1101 bytes", [](MachinePair& p) { p.public_key.resize(1101); }},
        {"RSA key of 1024 bits", [](MachinePair& p) { p.public_key = test::SampleFleet::rsa_spki(1024); }},
    };
    check_not_encoded(Kind::pair, sample_fleet().pair(), wrong_pairs, encode_pair);
    using Record = MachineRecord;
    const Wrong<Record> wrong_records[] = {
        {"machine 0", [](Record& r) { r.machine = 0; }},
        {"location is not", [](Record& r) { r.location.assign(65, 'a'); }},
        {"counter 0", [](Record& r) { r.counter = 0; }},
        {"windows not in order", [](Record& r) { r.not_before = -1; }},
        {"windows not in order", [](Record& r) { r.seal_until = r.not_before - 1; }},
        {"windows not in order", [](Record& r) { r.open_until = r.seal_until - 1; }},
        {"period of 0 s", [](Record& r) { r.period = 0; }},
        {"period of", [](Record& r) { r.period = 366 * 86400 + 1; }},
        {"unknown OAEP hash 0", [](Record& r) { r.oaep = OaepHash{0}; }},
        {"wrapped key of 255 bytes", [](Record& r) { r.wrapped_key.resize(255); }},
        {"wrapped key of 1025 bytes", [](Record& r) { r.wrapped_key.resize(1025); }},
        {"wrapped key of 0 bytes", [](Record& r) { r.wrapped_key.clear(); }},
        {"enc is not", [](Record& r) { r.enc = {}; }},
        {"wrapped key of 256 bytes", [](Record& r) { r.revoked = true; }},
        {"yet something is sealed",
         [](Record& r) {
             r.revoked = true;
             r.wrapped_key.clear();
             r.enc = {};
         }},
        {"yet something is sealed",
         [](Record& r) {
             r.revoked = true;
             r.wrapped_key.clear();
             r.sealed_admission_key = {};
         }},
    };
    check_not_encoded(Kind::record, sample_fleet().record(), wrong_records, encode_record);
}

BOOST_AUTO_TEST_CASE(offers_and_shares_that_would_be_refused_are_not_encoded) {
    const Wrong<CeremonyOffer> wrong_offers[] = {
        {"vault 0", [](CeremonyOffer& o) { o.vault = 0; }},
        {"location is not", [](CeremonyOffer& o) { o.location.clear(); }},
        {"location is not", [](CeremonyOffer& o) { o.location.assign(65, 'a'); }},
        {"no nonce", [](CeremonyOffer& o) { o.nonce = {}; }},
        {"unknown OAEP hash 3", [](CeremonyOffer& o) { o.oaep = OaepHash{3}; }},
        {"public key of 0 bytes", [](CeremonyOffer& o) { o.public_key.clear(); }},
        {"public key of 423 bytes", [](CeremonyOffer& o) { o.public_key.push_back(0); }},
        {"public key of 294 bytes",
         [](CeremonyOffer& o) { o.public_key = test::SampleFleet::rsa_spki(2048); }},
        {"not one DER", [](CeremonyOffer& o) { o.public_key.front() = 0; }},
    };
    check_not_encoded(Kind::ceremony_offer, sample_fleet().offer(), wrong_offers, encode_offer);
    const Wrong<CeremonyShare> wrong_shares[] = {
        {"vault 0", [](CeremonyShare& s) { s.vault = 0; }},
        {"location is not", [](CeremonyShare& s) { s.location = "a/b"; }},
        {"no nonce", [](CeremonyShare& s) { s.nonce = {}; }},
        {"epoch 0", [](CeremonyShare& s) { s.epoch = 0; }},
        {"unknown OAEP hash 0", [](CeremonyShare& s) { s.oaep = OaepHash{0}; }},
    };
    check_not_encoded(Kind::ceremony_share, sample_fleet().share(), wrong_shares, encode_share);
}

BOOST_AUTO_TEST_CASE(the_largest_of_each_go_round) {
    PartyList list = sample_fleet().machines();
    list.parties.assign(PartyList::max_parties, list.parties.front());
    for (std::size_t i = 0; i < list.parties.size(); ++i) {
        list.parties[i].number = static_cast<PartyNumber>(i + 1);
        list.parties[i].name = "web-" + std::to_string(i);
    }
    BOOST_TEST((decode_list(encode_list(list)) == list));
    BOOST_TEST(encode_list(list).size() + frame_overhead == largest_frame(Kind::list));

    Bundle bundle = sample_fleet().bundle();
    bundle.shares.assign(Bundle::max_shares, bundle.shares.front());
    for (std::size_t i = 0; i < bundle.shares.size(); ++i)
        bundle.shares[i].vault = static_cast<PartyNumber>(i + 1);
    BOOST_TEST((decode_bundle(encode_bundle(bundle)) == bundle));
    BOOST_TEST(encode_bundle(bundle).size() + frame_overhead == largest_frame(Kind::bundle));

    MachineRecord record = sample_fleet().record();
    record.wrapped_key.assign(1024, 1);
    BOOST_TEST((decode_record(encode_record(record)) == record));
    BOOST_TEST(encode_record(record).size() + frame_overhead == largest_frame(Kind::record));
}

BOOST_AUTO_TEST_CASE(parties_are_found) {
    const PartyList list = sample_fleet().list();
    BOOST_TEST(list.find(1) == &list.parties[0]);
    BOOST_TEST(list.find(4) == &list.parties[1]);
    for (const PartyNumber number : {0U, 2U, 5U, 0xffffffffU})
        BOOST_TEST(list.find(number) == nullptr);
    BOOST_TEST(list.find("ams1-vault") == &list.parties[1]);
    BOOST_TEST(list.find("ams1") == nullptr);
    BOOST_TEST(list.find("") == nullptr);
    BOOST_TEST(PartyList{}.find(1) == nullptr);
}

BOOST_AUTO_TEST_CASE(fingerprints_are_of_all_that_is_asked) {
    const EnrolmentRequest request = sample_fleet().request();
    const std::string text = fingerprint(request);
    BOOST_TEST(text.size() == 39U);
    for (std::size_t i = 0; i < text.size(); ++i)
        BOOST_TEST((i % 5 == 4 ? text[i] == '-' : std::string("0123456789abcdef").find(text[i]) < 16));
    EnrolmentRequest other = request;
    other.name += 'x';
    BOOST_TEST(fingerprint(other) != text);
    other = request;
    other.sealing_key = sample_fleet().machine_sealing.point;
    BOOST_TEST(fingerprint(other) != text);
}

}  // namespace
}  // namespace stek::fleet
