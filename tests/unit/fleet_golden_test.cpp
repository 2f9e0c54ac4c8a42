// The fleet's frames as another program makes them.
#define BOOST_TEST_MODULE fleet_golden
#include "daemon/fleet/bundle.hpp"
#include "daemon/fleet/party.hpp"
#include "daemon/fleet/record.hpp"
#include "p256_key.hpp"
#include "tests/fixtures/hex.hpp"
#include "tests/fixtures/recoded.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <string>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

namespace stek::fleet {
namespace {

using nlohmann::json;
using tests::to_hex;

const json& vectors() {
    static const json parsed = json::parse(std::ifstream(STEK_VECTORS "/fleet.json"));
    return parsed;
}

std::vector<std::uint8_t> octets(const json& hex) {
    return tests::from_hex(hex.get<std::string>());
}

Point point(const json& hex) {
    const auto bytes = octets(hex);
    Point made{};
    BOOST_REQUIRE(bytes.size() == made.size());
    std::ranges::copy(bytes, made.begin());
    return made;
}

FleetId fleet_id() {
    return fleet_id_of(point(vectors().at("root_public")));
}

Kind kind_of(const std::string& name) {
    static const std::map<std::string, Kind> kinds{{"request", Kind::request},
                                                   {"list", Kind::list},
                                                   {"pre_key", Kind::pre_key},
                                                   {"bundle", Kind::bundle},
                                                   {"pair", Kind::pair},
                                                   {"record", Kind::record},
                                                   {"ceremony_offer", Kind::ceremony_offer},
                                                   {"ceremony_share", Kind::ceremony_share}};
    return kinds.at(name);
}

const char* name_of(Role role) {
    return role == Role::origin ? "origin" : role == Role::vault ? "vault" : "machine";
}

const char* name_of(OaepHash hash) {
    return hash == OaepHash::sha1 ? "sha1" : "sha256";
}

/// A recipient's key, as a vector gives it.
hpke::KeyPtr recipient(const json& fields) {
    return test::private_key(octets(fields.at("recipient_private")), octets(fields.at("recipient_public")));
}

template <class Who>
void check_identity(const Who& who, const json& fields) {
    BOOST_TEST(name_of(who.role) == fields.at("role").get<std::string>());
    BOOST_TEST(who.name == fields.at("name").get<std::string>());
    BOOST_TEST(who.location == fields.at("location").get<std::string>());
    BOOST_TEST(to_hex(who.signing_key) == fields.at("signing_key").get<std::string>());
    BOOST_TEST(to_hex(who.sealing_key) == fields.at("sealing_key").get<std::string>());
}

void check_request(Bytes body, const json& fields) {
    const EnrolmentRequest request = decode_request(body);
    check_identity(request, fields);
    BOOST_TEST(fingerprint(request) == fields.at("fingerprint").get<std::string>());
}

void check_list(Bytes body, const json& fields) {
    const PartyList list = decode_list(body);
    BOOST_TEST(list.serial == fields.at("serial").get<std::uint64_t>());
    BOOST_TEST(list.signed_at == fields.at("signed_at").get<std::int64_t>());
    BOOST_TEST(list.location == fields.at("location").get<std::string>());
    BOOST_REQUIRE(list.parties.size() == fields.at("parties").size());
    for (std::size_t i = 0; i < list.parties.size(); ++i) {
        const Party& party = list.parties[i];
        const json& expected = fields.at("parties").at(i);
        BOOST_TEST(party.number == expected.at("number").get<PartyNumber>());
        BOOST_TEST((party.standing == Standing::active) == (expected.at("standing") == "active"));
        check_identity(party, expected);
    }
}

void check_pre_key(Bytes body, const json& fields) {
    const PreKey pre_key = decode_pre_key(body);
    BOOST_TEST(pre_key.vault == fields.at("vault").get<PartyNumber>());
    BOOST_TEST(pre_key.epoch == fields.at("epoch").get<std::uint64_t>());
    BOOST_TEST(to_hex(pre_key.key) == fields.at("key").get<std::string>());
}

void check_share(const Bundle& bundle, const SealedHourly& share, PartyNumber origin, const json& fields,
                 const std::string& hourly) {
    BOOST_TEST(share.vault == fields.at("vault").get<PartyNumber>());
    BOOST_TEST(share.pre_key == fields.at("pre_key").get<std::uint32_t>());
    BOOST_TEST(to_hex(share.enc) == fields.at("enc").get<std::string>());
    BOOST_TEST(to_hex(share.sealed) == fields.at("sealed").get<std::string>());
    HourlyKey opened;
    open_share(bundle, share, fleet_id(), origin, recipient(fields).get(),
               point(fields.at("recipient_public")), opened);
    BOOST_TEST(to_hex(opened.bytes()) == hourly);
}

void check_bundle(Bytes body, const json& fields, PartyNumber origin) {
    const Bundle bundle = decode_bundle(body);
    BOOST_TEST(bundle.key.epoch == fields.at("epoch").get<std::uint64_t>());
    BOOST_TEST(bundle.key.revision == fields.at("revision").get<std::uint32_t>());
    BOOST_TEST(bundle.not_before == fields.at("not_before").get<std::int64_t>());
    BOOST_TEST(bundle.not_after == fields.at("not_after").get<std::int64_t>());
    BOOST_TEST(to_hex(bundle.hourly_hash) == fields.at("hourly_hash").get<std::string>());
    BOOST_TEST(to_hex(bundle.before) == fields.at("before").get<std::string>());
    BOOST_REQUIRE(bundle.shares.size() == fields.at("shares").size());
    for (std::size_t i = 0; i < bundle.shares.size(); ++i)
        check_share(bundle, bundle.shares[i], origin, fields.at("shares").at(i), fields.at("hourly"));
}

void check_pair(Bytes body, const json& fields) {
    const MachinePair pair = decode_pair(body);
    BOOST_TEST(pair.machine == fields.at("machine").get<PartyNumber>());
    BOOST_TEST(pair.location == fields.at("location").get<std::string>());
    BOOST_TEST(pair.epoch == fields.at("epoch").get<std::uint64_t>());
    BOOST_TEST(to_hex(pair.pair) == fields.at("pair").get<std::string>());
    BOOST_TEST(name_of(pair.oaep) == fields.at("oaep").get<std::string>());
    BOOST_TEST(to_hex(pair.public_key) == fields.at("public_key").get<std::string>());
}

void check_record(Bytes body, const json& fields) {
    const MachineRecord record = decode_record(body);
    BOOST_TEST(record.location == fields.at("location").get<std::string>());
    BOOST_TEST(record.machine == fields.at("machine").get<PartyNumber>());
    BOOST_TEST(record.counter == fields.at("counter").get<std::uint64_t>());
    BOOST_TEST(record.key.epoch == fields.at("epoch").get<std::uint64_t>());
    BOOST_TEST(record.key.revision == fields.at("revision").get<std::uint32_t>());
    BOOST_TEST(record.not_before == fields.at("not_before").get<std::int64_t>());
    BOOST_TEST(record.seal_until == fields.at("seal_until").get<std::int64_t>());
    BOOST_TEST(record.open_until == fields.at("open_until").get<std::int64_t>());
    BOOST_TEST(record.period == fields.at("period").get<std::uint64_t>());
    BOOST_TEST(to_hex(record.name) == fields.at("name").get<std::string>());
    BOOST_TEST(to_hex(record.enc) == fields.at("enc").get<std::string>());
    BOOST_TEST(to_hex(record.sealed_admission_key) == fields.at("sealed_admission_key").get<std::string>());
    BOOST_TEST(to_hex(record.pair) == fields.at("pair").get<std::string>());
    BOOST_TEST(name_of(record.oaep) == fields.at("oaep").get<std::string>());
    BOOST_TEST(to_hex(record.wrapped_key) == fields.at("wrapped_key").get<std::string>());
    BOOST_TEST(record.revoked == fields.at("revoked").get<bool>());
    if (record.revoked)
        return;
    SecretArray<admission_key_size> opened;
    open_admission_key(record, fleet_id(), recipient(fields).get(), point(fields.at("recipient_public")),
                       opened);
    BOOST_TEST(to_hex(opened.bytes()) == fields.at("admission_key").get<std::string>());
}

void check_offer(Bytes body, const json& fields) {
    const CeremonyOffer offer = decode_offer(body);
    BOOST_TEST(offer.vault == fields.at("vault").get<PartyNumber>());
    BOOST_TEST(offer.location == fields.at("location").get<std::string>());
    BOOST_TEST(to_hex(offer.nonce) == fields.at("nonce").get<std::string>());
    BOOST_TEST(name_of(offer.oaep) == fields.at("oaep").get<std::string>());
    BOOST_TEST(to_hex(offer.public_key) == fields.at("public_key").get<std::string>());
}

void check_ceremony_share(Bytes body, const json& fields) {
    const CeremonyShare share = decode_share(body);
    BOOST_TEST(share.vault == fields.at("vault").get<PartyNumber>());
    BOOST_TEST(share.location == fields.at("location").get<std::string>());
    BOOST_TEST(to_hex(share.nonce) == fields.at("nonce").get<std::string>());
    BOOST_TEST(share.epoch == fields.at("epoch").get<std::uint64_t>());
    BOOST_TEST(to_hex(share.check) == fields.at("check").get<std::string>());
    BOOST_TEST(name_of(share.oaep) == fields.at("oaep").get<std::string>());
    BOOST_TEST(to_hex(share.wrapped) == fields.at("wrapped").get<std::string>());
}

void check_body(Kind kind, Bytes body, const json& fields, PartyNumber signer) {
    switch (kind) {
        case Kind::request:
            return check_request(body, fields);
        case Kind::list:
            return check_list(body, fields);
        case Kind::pre_key:
            return check_pre_key(body, fields);
        case Kind::bundle:
            return check_bundle(body, fields, signer);
        case Kind::pair:
            return check_pair(body, fields);
        case Kind::record:
            return check_record(body, fields);
        case Kind::ceremony_offer:
            return check_offer(body, fields);
        case Kind::ceremony_share:
            return check_ceremony_share(body, fields);
    }
}

BOOST_AUTO_TEST_CASE(the_fleet_is_named_after_its_root) {
    BOOST_TEST(to_hex(fleet_id()) == vectors().at("fleet").get<std::string>());
}

BOOST_AUTO_TEST_CASE(frames_open_to_their_fields_and_encode_to_their_bytes) {
    BOOST_TEST(vectors().at("frames").size() == 20U);
    for (const json& vector : vectors().at("frames")) {
        BOOST_TEST_CONTEXT(vector.at("what")) {
            const Kind kind = kind_of(vector.at("kind"));
            const auto frame = octets(vector.at("frame"));
            const auto signer = vector.at("signer").get<PartyNumber>();
            BOOST_TEST(peek_frame(frame, kind, fleet_id()).signer == signer);
            BOOST_TEST(to_hex(frame_hash(frame)) == vector.at("hash").get<std::string>());
            const Bytes body = open_frame(frame, kind, fleet_id(), point(vector.at("signer_public")));
            check_body(kind, body, vector.at("fields"), signer);
            BOOST_TEST(to_hex(tests::recoded(kind, body)) == to_hex(body));
        }
    }
}

// All but the signature, whose nonce is another each time.
BOOST_AUTO_TEST_CASE(frames_are_made_as_the_other_program_makes_them) {
    for (const json& vector : vectors().at("frames")) {
        BOOST_TEST_CONTEXT(vector.at("what")) {
            const auto frame = octets(vector.at("frame"));
            const auto key =
                test::private_key(octets(vector.at("signer_private")), octets(vector.at("signer_public")));
            const Bytes body = Bytes(frame).subspan(frame_head_size, frame.size() - frame_overhead);
            const auto made =
                make_frame({kind_of(vector.at("kind")), fleet_id(), vector.at("signer").get<PartyNumber>()},
                           body, [&](Bytes bytes) { return sign_with(key.get(), bytes); });
            const std::size_t content = frame.size() - Signature{}.size();
            BOOST_TEST(to_hex(Bytes(made).first(content)) == to_hex(Bytes(frame).first(content)));
            BOOST_CHECK_NO_THROW(
                open_frame(made, kind_of(vector.at("kind")), fleet_id(), point(vector.at("signer_public"))));
        }
    }
}

BOOST_AUTO_TEST_CASE(requests_open_by_the_key_in_them) {
    unsigned requests = 0;
    for (const json& vector : vectors().at("frames"))
        if (vector.at("kind") == "request") {
            check_identity(open_request(octets(vector.at("frame")), fleet_id()), vector.at("fields"));
            ++requests;
        }
    BOOST_TEST(requests == 3U);
}

}  // namespace
}  // namespace stek::fleet
