// The ring's format against files made by another program, and against everything that is not one.
#define BOOST_TEST_MODULE ring_codec
#include "sample_ring.hpp"
#include "tests/fixtures/hex.hpp"

#include <fstream>
#include <functional>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <openssl/sha.h>

using namespace stek;
using stek::test::sample_record;
using stek::test::sample_ring;
using stek::tests::from_hex;

namespace {

using Octets = std::vector<std::uint8_t>;

const nlohmann::json& vectors() {
    static const auto parsed = nlohmann::json::parse(std::ifstream(STEK_VECTORS "/ring.json")).at("rings");
    return parsed;
}

Octets octets(Bytes bytes) {
    return {bytes.begin(), bytes.end()};
}

Octets sample_file() {
    return octets(encode_ring(sample_ring({{1, 0}, {2, 0}, {2, 1}})).bytes());
}

/// A heap block of exactly the file's size: ASan sees one byte read beyond.
void check_refused(const Octets& file, const std::string& reason = "key ring: ") {
    const Octets exact(file.begin(), file.end());
    BOOST_CHECK_EXCEPTION(decode_ring(exact), RingError, [&](const RingError& error) {
        BOOST_TEST_INFO(error.what());
        return std::string(error.what()).find(reason) != std::string::npos;
    });
}

Octets with_checksum(Octets file) {
    const std::size_t content = file.size() - SHA256_DIGEST_LENGTH;
    SHA256(file.data(), content, file.data() + content);
    return file;
}

constexpr std::size_t first_record = 116;

}  // namespace

BOOST_AUTO_TEST_CASE(vectors_decode_to_their_fields_and_encode_to_their_bytes) {
    BOOST_TEST(vectors().size() == 3U);
    for (const auto& vector : vectors()) {
        BOOST_TEST_CONTEXT(vector.at("what")) {
            const Octets file = from_hex(vector.at("file"));
            const auto ring = decode_ring(file);
            BOOST_TEST(ring->location == vector.at("location").get<std::string>());
            BOOST_TEST(ring->token_serial == vector.at("token_serial").get<std::string>());
            BOOST_TEST(ring->generation == vector.at("generation").get<std::uint64_t>());
            BOOST_TEST(ring->written_at == vector.at("written_at").get<std::int64_t>());
            BOOST_TEST(ring->period == vector.at("period").get<std::uint64_t>());
            BOOST_REQUIRE(ring->records.size() == vector.at("records").size());
            for (std::size_t i = 0; i < ring->records.size(); ++i) {
                const RingRecord& record = *ring->records[i];
                const auto& expected = vector.at("records").at(i);
                BOOST_TEST(record.epoch == expected.at("epoch").get<std::uint64_t>());
                BOOST_TEST(record.revision == expected.at("revision").get<std::uint32_t>());
                BOOST_TEST(record.not_before == expected.at("not_before").get<std::int64_t>());
                BOOST_TEST(record.seal_until == expected.at("seal_until").get<std::int64_t>());
                BOOST_TEST(record.open_until == expected.at("open_until").get<std::int64_t>());
                BOOST_TEST(record.destroy_at == expected.at("destroy_at").get<std::uint64_t>());
                BOOST_TEST(octets(record.name) == from_hex(expected.at("name")));
                BOOST_TEST(octets(record.admission_key.bytes()) == from_hex(expected.at("admission_key")));
                BOOST_TEST(octets(record.pair) == from_hex(expected.at("pair")));
                BOOST_TEST((record.oaep == OaepHash::sha256) == (expected.at("oaep") == "sha256"));
                BOOST_TEST(record.wrapped_key == from_hex(expected.at("wrapped_key")));
            }
            BOOST_TEST(octets(encode_ring(*ring).bytes()) == file);
        }
    }
}

BOOST_AUTO_TEST_CASE(every_flipped_bit_is_refused) {
    const Octets file = sample_file();
    for (std::size_t bit = 0; bit < file.size() * 8; ++bit) {
        Octets flipped = file;
        flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
        BOOST_TEST_CONTEXT("bit " << bit) {
            check_refused(flipped);
        }
    }
}

BOOST_AUTO_TEST_CASE(cut_at_each_byte_is_refused_even_with_a_right_checksum) {
    const Octets file = sample_file();
    for (std::size_t size = 0; size < file.size(); ++size) {
        const Octets cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
        BOOST_TEST_CONTEXT("cut to " << size) {
            check_refused(cut);
            if (size >= first_record + SHA256_DIGEST_LENGTH)
                check_refused(with_checksum(cut));
        }
    }
}

BOOST_AUTO_TEST_CASE(more_than_the_ring_is_refused) {
    Octets longer = sample_file();
    longer.push_back(0);
    check_refused(longer, "checksum");
    check_refused(with_checksum(longer), "behind the last record");
    check_refused(Octets(max_ring_file + 1), "more than");
}

BOOST_AUTO_TEST_CASE(noise_is_refused) {
    std::mt19937_64 random(1);
    for (const std::size_t size : {std::size_t{0}, std::size_t{9}, std::size_t{10}, std::size_t{148},
                                   std::size_t{5000}, max_ring_file}) {
        Octets noise(size);
        for (auto& byte : noise)
            byte = static_cast<std::uint8_t>(random());
        check_refused(noise);
    }
}

// Who can write the file can give it a checksum: the fields must hold on their own. Whatever is taken must be
// a ring that encodes to the same bytes.
BOOST_AUTO_TEST_CASE(noise_under_a_right_checksum_is_refused_or_is_a_ring) {
    const Octets file = sample_file();
    std::mt19937_64 random(2);
    unsigned taken = 0;
    unsigned refused = 0;
    for (unsigned i = 0; i < 20'000; ++i) {
        Octets changed = file;
        for (unsigned changes = 1 + random() % 3; changes > 0; --changes)
            changed[10 + random() % (first_record + 111 - 10)] = static_cast<std::uint8_t>(random());
        changed = with_checksum(changed);
        try {
            const auto ring = decode_ring(changed);
            BOOST_TEST(octets(encode_ring(*ring).bytes()) == changed);
            ++taken;
        } catch (const RingError&) {
            ++refused;
        }
    }
    BOOST_TEST(taken > 0U);
    BOOST_TEST(refused > 0U);
}

BOOST_AUTO_TEST_CASE(other_versions_are_told_apart_from_damage) {
    Octets file = sample_file();
    file[9] = 2;
    check_refused(file, "format version 2 is newer than this provider");
    check_refused(with_checksum(file), "format version 2 is newer than this provider");
    file[9] = 0;
    check_refused(with_checksum(file), "format version 0 is no longer read");
    BOOST_CHECK_THROW(encode_ring(sample_ring({}), 0), std::invalid_argument);
    BOOST_CHECK_THROW(encode_ring(sample_ring({}), 2), std::invalid_argument);
    file = sample_file();
    file[0] = 'S';
    check_refused(file, "not one");
}

namespace {

struct Wrong {
    const char* what;
    const char* reason;
    std::function<void(KeyRing&)> spoil;
};
std::ostream& operator<<(std::ostream& out, const Wrong& wrong) {
    return out << wrong.what;
}

const Wrong wrongs[] = {
    {"no location", "location", [](KeyRing& r) { r.location.clear(); }},
    {"long location", "location", [](KeyRing& r) { r.location.assign(65, 'a'); }},
    {"location with a slash", "location", [](KeyRing& r) { r.location = "a/b"; }},
    {"location with a zero byte", "location", [](KeyRing& r) { r.location = std::string("a\0b", 3); }},
    {"long serial", "serial", [](KeyRing& r) { r.token_serial.assign(17, '0'); }},
    {"serial with a newline", "serial", [](KeyRing& r) { r.token_serial = "0\n1"; }},
    {"written before 1970", "1970", [](KeyRing& r) { r.written_at = -1; }},
    {"period 0", "period of 0 s", [](KeyRing& r) { r.period = 0; }},
    {"endless period", "period of", [](KeyRing& r) { r.period = UINT64_MAX; }},
    {"missing record", "missing", [](KeyRing& r) { r.records[1].reset(); }},
    {"records in another order", "not in order", [](KeyRing& r) { std::swap(r.records[0], r.records[1]); }},
    {"revisions in another order", "not in order", [](KeyRing& r) { std::swap(r.records[1], r.records[2]); }},
    {"a record twice", "not in order", [](KeyRing& r) { r.records[1] = sample_record(1); }},
    {"a name twice", "key name", [](KeyRing& r) { r.records[1]->name = r.records[0]->name; }},
    {"begins before 1970", "windows", [](KeyRing& r) { r.records[0]->not_before = -1; }},
    {"sealing ends before it begins", "record 2.1: windows",
     [](KeyRing& r) { r.records[2]->seal_until = r.records[2]->not_before - 1; }},
    {"opening ends before sealing", "windows",
     [](KeyRing& r) { r.records[0]->open_until = r.records[0]->seal_until - 1; }},
    {"unknown hash 0", "OAEP hash 0", [](KeyRing& r) { r.records[0]->oaep = OaepHash{0}; }},
    {"unknown hash 3", "OAEP hash 3", [](KeyRing& r) { r.records[0]->oaep = OaepHash{3}; }},
    {"short wrapped key", "wrapped key of 255", [](KeyRing& r) { r.records[0]->wrapped_key.resize(255); }},
    {"long wrapped key", "wrapped key of 1025", [](KeyRing& r) { r.records[0]->wrapped_key.resize(1025); }},
    {"257 records", "257 records",
     [](KeyRing& r) {
         for (std::uint64_t epoch = 3; r.records.size() < 257; ++epoch)
             r.records.push_back(sample_record(epoch));
     }},
};

}  // namespace

BOOST_DATA_TEST_CASE(a_ring_that_would_be_refused_is_not_encoded, boost::unit_test::data::make(wrongs)) {
    KeyRing ring = sample_ring({{1, 0}, {2, 0}, {2, 1}});
    sample.spoil(ring);
    BOOST_CHECK_EXCEPTION(encode_ring(ring), std::invalid_argument, [&](const std::invalid_argument& error) {
        BOOST_TEST_INFO(error.what());
        return std::string(error.what()).find(sample.reason) != std::string::npos;
    });
}

// The same by bytes at their places in the table, for the decoder's own sake.
BOOST_AUTO_TEST_CASE(fields_out_of_range_are_refused_whatever_the_checksum) {
    struct Patch {
        std::size_t offset;
        std::uint8_t byte;
        const char* reason;
    };
    constexpr std::size_t record_size = 111 + 384;
    const Patch patches[] = {
        {10, 0xff, "key ring: ends within a record"},                     // record count 0xff03
        {11, 2, "behind the last record"},                                // one record fewer than there are
        {11, 4, "ends within a record"},                                  // one more
        {20, 0x80, "1970"},                                               // written at < 0
        {28, 0xff, "period of"},                                          // period beyond a year
        {36, ' ', "location"},                                            // a blank in the location
        {36, 0, "behind the end of a text"},                              // zero, then text
        {99, 'x', "behind the end of a text"},                            // something in the padding
        {100, 0x1b, "serial"},                                            // escape in the serial
        {first_record + 12, 0x80, "windows"},                             // not before < 0
        {first_record + 20, 0x7f, "windows"},                             // seal until beyond open until
        {first_record + 28, 0x80, "windows"},                             // open until < 0
        {first_record + 108, 3, "unknown OAEP hash 3"},                   //
        {first_record + 109, 0xff, "ends within a record"},               // wrapped key of 0xff80 bytes
        {first_record + 7, 2, "not in order"},                            // epoch 2.0 before 2.0
        {first_record + record_size + 7, 1, "record 1.0: not in order"},  // epoch 1.0 twice
    };
    for (const Patch& patch : patches) {
        BOOST_TEST_CONTEXT("byte " << patch.offset) {
            Octets file = sample_file();
            BOOST_REQUIRE(file[patch.offset] != patch.byte);
            file[patch.offset] = patch.byte;
            check_refused(with_checksum(file), patch.reason);
        }
    }
    Octets none = octets(encode_ring(sample_ring({})).bytes());
    none[10] = 0xff;
    check_refused(with_checksum(none), "ends within a record");
}

BOOST_AUTO_TEST_CASE(the_largest_ring_goes_round) {
    KeyRing ring = sample_ring({});
    for (std::uint64_t epoch = 0; epoch < max_ring_records; ++epoch) {
        ring.records.push_back(sample_record(epoch));
        ring.records.back()->wrapped_key.resize(1024);
    }
    const Secret file = encode_ring(ring);
    BOOST_TEST(file.size() <= max_ring_file);
    BOOST_TEST(octets(encode_ring(*decode_ring(file.bytes())).bytes()) == octets(file.bytes()));
}
