// What is sealed within bundles and records opens with its own key and in its own place only.
#define BOOST_TEST_MODULE fleet_seals
#include "daemon/hpke.hpp"
#include "key_in_token.hpp"
#include "provider/octets.hpp"
#include "sample_fleet.hpp"

#include <functional>

#include <boost/test/unit_test.hpp>

namespace stek::fleet {
namespace {

using test::Octets;
using test::octets;
using test::off_the_curve;
using test::Pair;
using test::sample_fleet;

constexpr PartyNumber origin = 1;

void fill(std::span<std::uint8_t> bytes, std::uint8_t byte) {
    std::ranges::fill(bytes, byte);
}

/// Everything that opening a share takes, to be spoilt.
struct Opening {
    Bundle bundle = sample_fleet().bundle();
    SealedHourly share = bundle.shares[0];
    FleetId fleet = sample_fleet().id;
    PartyNumber from = origin;
    const Pair* key = &sample_fleet().pre_key;
    Point public_key = key->point;

    void open(HourlyKey& out) const {
        open_share(bundle, share, fleet, from, key->key.get(), public_key, out);
    }
    template <class Error>
    void check_refused(const std::string& reason) const {
        HourlyKey out;
        fill(out.span(), 0xee);
        BOOST_CHECK_EXCEPTION(open(out), Error, [&](const Error& error) {
            BOOST_TEST_INFO(error.what());
            return std::string(error.what()).find(reason) != std::string::npos;
        });
        BOOST_TEST(octets(out.bytes()) == Octets(32, 0xee));
    }
};

const std::string does_not_open = "HPKE: the ciphertext does not open";

BOOST_AUTO_TEST_CASE(each_vault_opens_its_share) {
    Opening opening;
    HourlyKey hourly;
    opening.open(hourly);
    BOOST_TEST(octets(hourly.bytes()) == Octets(32, 0x48));
    BOOST_TEST((hash_of_hourly(hourly) == opening.bundle.hourly_hash));
    opening.share = opening.bundle.shares[1];
    opening.key = &sample_fleet().vault_sealing;
    opening.public_key = opening.key->point;
    fill(hourly.span(), 0);
    opening.open(hourly);
    BOOST_TEST(octets(hourly.bytes()) == Octets(32, 0x48));
}

BOOST_AUTO_TEST_CASE(a_share_opens_nowhere_else) {
    const std::pair<const char*, std::function<void(Opening&)>> wrongs[] = {
        {"another's key", [](Opening& o) { o.key = &sample_fleet().vault_sealing; }},
        {"another's key and point",
         [](Opening& o) {
             o.key = &sample_fleet().vault_sealing;
             o.public_key = o.key->point;
         }},
        {"another's point", [](Opening& o) { o.public_key = sample_fleet().vault_sealing.point; }},
        {"for another vault", [](Opening& o) { o.share.vault = 6; }},
        {"to another pre-key", [](Opening& o) { o.share.pre_key = 0; }},
        {"another share's enc", [](Opening& o) { o.share.enc = o.bundle.shares[1].enc; }},
        {"another share's bytes", [](Opening& o) { o.share.sealed = o.bundle.shares[1].sealed; }},
        {"a changed bit", [](Opening& o) { o.share.sealed[0] ^= 1; }},
        {"a changed tag", [](Opening& o) { o.share.sealed[47] ^= 1; }},
        {"in another epoch", [](Opening& o) { ++o.bundle.key.epoch; }},
        {"in another revision", [](Opening& o) { ++o.bundle.key.revision; }},
        {"in another window", [](Opening& o) { ++o.bundle.not_before; }},
        {"in a longer window", [](Opening& o) { ++o.bundle.not_after; }},
        {"under another hash", [](Opening& o) { o.bundle.hourly_hash[0] ^= 1; }},
        {"behind another bundle", [](Opening& o) { o.bundle.before[31] ^= 1; }},
        {"in another fleet", [](Opening& o) { o.fleet[0] ^= 1; }},
        {"from another origin", [](Opening& o) { o.from = 2; }},
    };
    for (const auto& [what, spoil] : wrongs) {
        BOOST_TEST_CONTEXT(what) {
            Opening opening;
            spoil(opening);
            opening.check_refused<hpke::Error>(does_not_open);
        }
    }
    Opening opening;
    opening.share.enc = off_the_curve();
    opening.check_refused<hpke::Error>("the encapsulated key is not a point of P-256");
}

// The same bundle sealed anew has other ephemeral keys, but a share of the one is as good in the other: what
// it is bound to is the same.
BOOST_AUTO_TEST_CASE(sealings_of_one_bundle_differ) {
    Opening opening;
    const Bundle again = sample_fleet().bundle();
    BOOST_TEST((again.shares[0].enc != opening.share.enc));
    BOOST_TEST((again.shares[0].sealed != opening.share.sealed));
    opening.share = again.shares[0];
    HourlyKey hourly;
    BOOST_CHECK_NO_THROW(opening.open(hourly));
}

// An origin that gives one vault another hourly key than it says; what HPKE is given is written by hand.
BOOST_AUTO_TEST_CASE(another_hourly_key_than_the_hash_is_refused) {
    Opening opening;
    Octets aad(136);
    octets::Writer out(aad);
    out.bytes(opening.fleet);
    out.number(opening.from);
    out.number(opening.bundle.key.epoch);
    out.number(opening.bundle.key.revision);
    out.number(opening.bundle.not_before);
    out.number(opening.bundle.not_after);
    out.bytes(opening.bundle.hourly_hash);
    out.bytes(opening.bundle.before);
    out.number(opening.share.vault);
    out.number(opening.share.pre_key);
    const std::string info = "stekd bundle v1";
    for (const std::uint8_t byte : {0x48, 0x49}) {
        const auto sealed = hpke::seal(opening.public_key, octets(info), aad, Octets(32, byte));
        opening.share.enc = sealed.enc;
        std::ranges::copy(sealed.ciphertext, opening.share.sealed.begin());
        HourlyKey hourly;
        if (byte == 0x48)
            BOOST_CHECK_NO_THROW(opening.open(hourly));
        else
            opening.check_refused<FrameError>("bundle: the share of vault 4 holds another hourly key");
    }
}

BOOST_AUTO_TEST_CASE(a_key_in_a_token_opens_a_share) {
    const Opening opening;
    const test::KeyInToken token(opening.key->key.get(), opening.public_key);
    const hpke::KeyPtr key(token.make_key());
    HourlyKey hourly;
    open_share(opening.bundle, opening.share, opening.fleet, origin, key.get(), opening.public_key, hourly);
    BOOST_TEST(octets(hourly.bytes()) == Octets(32, 0x48));
}

BOOST_AUTO_TEST_CASE(shares_are_in_order_whatever_the_recipients_are) {
    const auto& sample = sample_fleet();
    HourlyKey hourly;
    Bundle bundle = sample.bundle();  // its shares and its hash are replaced
    const Digest old_hash = bundle.hourly_hash;
    seal_shares(bundle, sample.id, origin, hourly,
                {{9, 0, sample.machine.point},
                 {0xffffffff, 1, sample.machine.point},
                 {2, 500'000, sample.pre_key.point}});
    BOOST_REQUIRE(bundle.shares.size() == 3U);
    BOOST_TEST(bundle.shares[0].vault == 2U);
    BOOST_TEST(bundle.shares[0].pre_key == 500'000U);
    BOOST_TEST(bundle.shares[1].vault == 9U);
    BOOST_TEST(bundle.shares[2].vault == 0xffffffffU);
    BOOST_TEST((bundle.hourly_hash != old_hash));
    BOOST_TEST((decode_bundle(encode_bundle(bundle)) == bundle));
    seal_shares(bundle, sample.id, origin, hourly, {});
    BOOST_TEST(bundle.shares.empty());
}

BOOST_AUTO_TEST_CASE(a_bundle_that_cannot_be_sealed_is_as_it_was) {
    const auto& sample = sample_fleet();
    const HourlyKey hourly;
    const Point& good = sample.pre_key.point;
    const auto check_refused = [&]<class Error>(Bundle bundle, const std::vector<Recipient>& recipients,
                                                const Error*) {
        const Bundle before = bundle;
        BOOST_CHECK_THROW(seal_shares(bundle, sample.id, origin, hourly, recipients), Error);
        BOOST_TEST((bundle == before));
    };
    const std::invalid_argument* const invalid = nullptr;
    const hpke::Error* const hpke_error = nullptr;
    check_refused(sample.bundle(), {{4, 0, good}, {4, 1, good}}, invalid);
    check_refused(sample.bundle(), {{0, 0, good}}, invalid);
    check_refused(sample.bundle(), std::vector<Recipient>(Bundle::max_shares + 1), invalid);
    check_refused(sample.bundle(), {{4, 0, good}, {5, 0, off_the_curve()}}, hpke_error);
    check_refused(sample.bundle(), {{4, 0, {}}}, hpke_error);
    Bundle without_window = sample.bundle();
    without_window.not_after = without_window.not_before;
    check_refused(without_window, {{4, 0, good}}, invalid);
}

// --- records ---

struct OpeningRecord {
    MachineRecord record = sample_fleet().record();
    FleetId fleet = sample_fleet().id;
    const Pair* key = &sample_fleet().machine_sealing;

    void open(SecretArray<admission_key_size>& out) const {
        open_admission_key(record, fleet, key->key.get(), key->point, out);
    }
    template <class Error>
    void check_refused(const std::string& reason) const {
        SecretArray<admission_key_size> out;
        fill(out.span(), 0xee);
        BOOST_CHECK_EXCEPTION(open(out), Error, [&](const Error& error) {
            BOOST_TEST_INFO(error.what());
            return std::string(error.what()).find(reason) != std::string::npos;
        });
        BOOST_TEST(octets(out.bytes()) == Octets(32, 0xee));
    }
};

BOOST_AUTO_TEST_CASE(a_machine_opens_its_admission_key) {
    SecretArray<admission_key_size> admission_key;
    OpeningRecord().open(admission_key);
    BOOST_TEST(octets(admission_key.bytes()) == Octets(32, 0x41));
}

BOOST_AUTO_TEST_CASE(an_admission_key_opens_nowhere_else) {
    const std::pair<const char*, std::function<void(OpeningRecord&)>> wrongs[] = {
        {"another's key", [](OpeningRecord& o) { o.key = &sample_fleet().vault_sealing; }},
        {"in another fleet", [](OpeningRecord& o) { o.fleet[31] ^= 1; }},
        {"at another location", [](OpeningRecord& o) { o.record.location += '2'; }},
        {"for another machine", [](OpeningRecord& o) { ++o.record.machine; }},
        {"with another counter", [](OpeningRecord& o) { ++o.record.counter; }},
        {"in another epoch", [](OpeningRecord& o) { ++o.record.key.epoch; }},
        {"in another revision", [](OpeningRecord& o) { ++o.record.key.revision; }},
        {"from another time on", [](OpeningRecord& o) { ++o.record.not_before; }},
        {"sealing for longer", [](OpeningRecord& o) { ++o.record.seal_until; }},
        {"opening for longer", [](OpeningRecord& o) { ++o.record.open_until; }},
        {"with another period", [](OpeningRecord& o) { ++o.record.period; }},
        {"with another name", [](OpeningRecord& o) { o.record.name[15] ^= 1; }},
        {"for another pair", [](OpeningRecord& o) { o.record.pair[0] ^= 1; }},
        {"with another hash", [](OpeningRecord& o) { o.record.oaep = OaepHash::sha256; }},
        {"with another wrapped key", [](OpeningRecord& o) { o.record.wrapped_key[255] ^= 1; }},
        {"with a longer wrapped key", [](OpeningRecord& o) { o.record.wrapped_key.push_back(0); }},
        {"with changed bytes", [](OpeningRecord& o) { o.record.sealed_admission_key[47] ^= 1; }},
        {"of another sealing", [](OpeningRecord& o) { o.record.enc = sample_fleet().record().enc; }},
    };
    for (const auto& [what, spoil] : wrongs) {
        BOOST_TEST_CONTEXT(what) {
            OpeningRecord opening;
            spoil(opening);
            opening.check_refused<hpke::Error>(does_not_open);
        }
    }
    OpeningRecord opening;
    opening.record.enc = off_the_curve();
    opening.check_refused<hpke::Error>("the encapsulated key is not a point of P-256");
}

// All that is sealed is taken over into a record that is whole and signed: by who cannot read it.
BOOST_AUTO_TEST_CASE(an_admission_key_moved_to_another_record_does_not_open) {
    OpeningRecord opening;
    MachineRecord other = opening.record;
    ++other.key.epoch;
    other.name[0] ^= 1;
    opening.record = decode_record(encode_record(other));
    opening.check_refused<hpke::Error>(does_not_open);
}

BOOST_AUTO_TEST_CASE(a_revoked_record_has_no_admission_key) {
    OpeningRecord opening;
    opening.record = test::SampleFleet::unsealed_record();
    opening.record.revoked = true;
    opening.record.wrapped_key.clear();
    BOOST_TEST((decode_record(encode_record(opening.record)) == opening.record));
    opening.check_refused<FrameError>("record: revoked");
    const MachineRecord before = opening.record;
    BOOST_CHECK_THROW(seal_admission_key(opening.record, opening.fleet, opening.key->point, {}),
                      std::invalid_argument);
    BOOST_TEST((opening.record == before));
}

BOOST_AUTO_TEST_CASE(a_record_that_cannot_be_sealed_is_as_it_was) {
    const auto check_refused = [](MachineRecord record, const Point& key) {
        const MachineRecord before = record;
        BOOST_CHECK_THROW(seal_admission_key(record, sample_fleet().id, key, {}), std::exception);
        BOOST_TEST((record == before));
    };
    check_refused(sample_fleet().record(), off_the_curve());
    MachineRecord long_location = sample_fleet().record();
    long_location.location.assign(200, 'a');
    check_refused(long_location, sample_fleet().machine_sealing.point);
}

}  // namespace
}  // namespace stek::fleet
