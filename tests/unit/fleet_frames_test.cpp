// Frames: nothing opens but what its signer made, for that fleet, of that kind, whole.
#define BOOST_TEST_MODULE fleet_frames
#include "key_in_token.hpp"
#include "sample_fleet.hpp"
#include "tests/fixtures/hex.hpp"
#include "tests/fixtures/recoded.hpp"

#include <boost/test/unit_test.hpp>
#include <openssl/err.h>
#include <sys/mman.h>

namespace stek::fleet {
namespace {

using test::Octets;
using test::octets;
using test::Pair;
using test::sample_fleet;
using tests::all_kinds;

constexpr std::size_t version_at = 8, zero_at = 10, size_at = 12, fleet_at = 16, signer_at = 48;

/// Refused for that reason, in words that begin with the kind.
template <class Call>
void check_refused(Kind kind, const std::string& reason, const Call& call) {
    BOOST_CHECK_EXCEPTION(call(), FrameError, [&](const FrameError& error) {
        BOOST_TEST_INFO(error.what());
        const std::string said = error.what();
        return said.starts_with(std::string(name_of(kind)) + ": ") && said.find(reason) != std::string::npos;
    });
    BOOST_TEST(ERR_peek_error() == 0U);
}

/// A heap block of exactly the frame's size: ASan sees one byte read beyond.
void check_frame_refused(Kind kind, const Octets& frame, const std::string& reason = "") {
    const Octets exact(frame.begin(), frame.end());
    check_refused(kind, reason,
                  [&] { (void)open_frame(exact, kind, sample_fleet().id, sample_fleet().vault.point); });
    if (kind == Kind::request)
        check_refused(kind, "", [&] { (void)open_request(exact, sample_fleet().id); });
}

Octets with_size(Octets frame, std::size_t size) {
    for (std::size_t i = 0; i < 4; ++i)
        frame[size_at + i] = static_cast<std::uint8_t>(size >> (24 - 8 * i));
    return frame;
}

/// Signed again, by the key that check_frame_refused() takes.
Octets signed_again(Octets frame) {
    const std::size_t content = frame.size() - Signature{}.size();
    std::ranges::copy(sign_with(sample_fleet().vault.key.get(), Bytes(frame).first(content)),
                      frame.begin() + static_cast<std::ptrdiff_t>(content));
    return frame;
}

BOOST_AUTO_TEST_CASE(each_kind_goes_round) {
    for (const Kind kind : all_kinds) {
        const Octets body = sample_fleet().body(kind);
        const PartyNumber signer = kind == Kind::request ? 0 : 4;
        const Octets frame =
            make_frame({kind, sample_fleet().id, signer}, body, sample_fleet().vault.signer());
        BOOST_TEST(frame.size() == body.size() + frame_overhead);
        const FrameHead head = peek_frame(frame, kind, sample_fleet().id);
        BOOST_TEST((head.kind == kind));
        BOOST_TEST((head.fleet == sample_fleet().id));
        BOOST_TEST(head.signer == signer);
        const Bytes opened = open_frame(frame, kind, sample_fleet().id, sample_fleet().vault.point);
        BOOST_TEST(octets(opened) == body);
        BOOST_TEST(opened.data() == frame.data() + frame_head_size);
        BOOST_TEST(tests::recoded(kind, opened) == body);
    }
    const Octets request = sample_fleet().frame(Kind::request);
    BOOST_TEST((open_request(request, sample_fleet().id) == sample_fleet().request()));
}

BOOST_AUTO_TEST_CASE(every_flipped_bit_is_refused) {
    for (const Kind kind : all_kinds) {
        const Octets frame = sample_fleet().frame(kind);
        for (std::size_t bit = 0; bit < frame.size() * 8; ++bit) {
            Octets flipped = frame;
            flipped[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
            BOOST_TEST_CONTEXT(name_of(kind) << ", bit " << bit) {
                check_frame_refused(kind, flipped);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(cut_at_each_byte_is_refused_even_if_it_says_so) {
    for (const Kind kind : all_kinds) {
        const Octets frame = sample_fleet().frame(kind);
        for (std::size_t size = 0; size < frame.size(); ++size) {
            const Octets cut(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size));
            BOOST_TEST_CONTEXT(name_of(kind) << ", cut to " << size) {
                check_frame_refused(kind, cut, size < frame_overhead ? "too short" : "as it says");
                if (size >= frame_overhead)
                    check_frame_refused(kind, with_size(cut, size), "signature");
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(sizes_that_are_not_the_frames_are_refused) {
    for (const Kind kind : all_kinds) {
        const Octets frame = sample_fleet().frame(kind);
        for (const std::size_t size :
             {std::size_t{0}, std::size_t{1}, frame_head_size, frame_overhead, frame.size() - 1,
              frame.size() + 1, frame.size() + 64, largest_frame(kind) + 1, std::size_t{0x7fffffff},
              std::size_t{0x80000000}, std::size_t{0xffffffff}})
            check_frame_refused(kind, signed_again(with_size(frame, size)), "as it says");
        Octets longer = frame;
        longer.push_back(0);
        check_frame_refused(kind, longer, frame.size() == largest_frame(kind) ? "more than" : "as it says");
    }
}

// In pages that nobody may read.
BOOST_AUTO_TEST_CASE(what_is_too_large_is_refused_unread) {
    constexpr std::size_t size = 10'000'000;
    void* const pages = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    BOOST_REQUIRE(pages != MAP_FAILED);
    const std::uint8_t* const unread = static_cast<const std::uint8_t*>(pages);
    for (const Kind kind : all_kinds) {
        for (const std::size_t too_large : {largest_frame(kind) + 1, size})
            check_refused(kind, "more than", [&] {
                (void)open_frame({unread, too_large}, kind, sample_fleet().id, sample_fleet().vault.point);
            });
    }
    check_refused(Kind::request, "more than", [&] { (void)open_request({unread, size}, sample_fleet().id); });
    ::munmap(pages, size);
}

BOOST_AUTO_TEST_CASE(noise_is_refused) {
    std::mt19937_64 random(1);
    for (const Kind kind : all_kinds)
        for (const std::size_t size :
             {std::size_t{0}, frame_overhead, std::size_t{260}, largest_frame(kind)}) {
            Octets noise(size);
            for (auto& byte : noise)
                byte = static_cast<std::uint8_t>(random());
            check_frame_refused(kind, noise);
        }
}

BOOST_AUTO_TEST_CASE(kinds_are_not_one_another) {
    for (const Kind made : all_kinds)
        for (const Kind taken : all_kinds)
            if (made != taken && sample_fleet().frame(made).size() <= largest_frame(taken))
                check_frame_refused(taken, sample_fleet().frame(made), "not one");
}

BOOST_AUTO_TEST_CASE(fleets_are_not_one_another) {
    const FleetId other = fleet_id_of(sample_fleet().vault.point);
    for (const Kind kind : all_kinds) {
        const Octets frame = sample_fleet().frame(kind);
        check_refused(kind, "of another fleet", [&] { (void)peek_frame(frame, kind, other); });
        Octets moved = frame;
        std::ranges::copy(other, moved.begin() + fleet_at);
        check_frame_refused(kind, signed_again(moved), "of another fleet");
        check_refused(kind, "signature",
                      [&] { (void)open_frame(moved, kind, other, sample_fleet().vault.point); });
    }
}

BOOST_AUTO_TEST_CASE(versions_are_told_apart_from_damage) {
    for (const Kind kind : all_kinds) {
        Octets frame = sample_fleet().frame(kind);
        frame[version_at + 1] = 2;
        check_frame_refused(kind, frame, "format version 2 is newer than this stekd");
        frame[version_at + 1] = 0;
        check_frame_refused(kind, frame, "format version 0 is no longer read");
        frame = sample_fleet().frame(kind);
        frame[zero_at + 1] = 1;
        check_frame_refused(kind, signed_again(frame), "something where there is nothing yet");
    }
}

BOOST_AUTO_TEST_CASE(signers_are_who_may_sign) {
    for (const Kind kind : all_kinds) {
        const Octets body = sample_fleet().body(kind);
        const auto made_by = [&](PartyNumber signer) {
            return make_frame({kind, sample_fleet().id, signer}, body, sample_fleet().vault.signer());
        };
        if (kind == Kind::list) {
            BOOST_CHECK_NO_THROW(made_by(0));
            BOOST_CHECK_NO_THROW(made_by(4));
            continue;
        }
        BOOST_CHECK_THROW(made_by(kind == Kind::request ? 4 : 0), std::invalid_argument);
        Octets frame = sample_fleet().frame(kind);
        frame[signer_at + 3] ^= 4;
        check_frame_refused(kind, signed_again(frame), "signed by ");
    }
}

BOOST_AUTO_TEST_CASE(keys_of_others_open_nothing) {
    const auto& sample = sample_fleet();
    const Octets body = sample.body(Kind::bundle);
    const Octets by_vault = make_frame({Kind::bundle, sample.id, 4}, body, sample.vault.signer());
    const Octets by_origin = make_frame({Kind::bundle, sample.id, 4}, body, sample.origin.signer());
    BOOST_CHECK_NO_THROW(open_frame(by_origin, Kind::bundle, sample.id, sample.origin.point));
    check_frame_refused(Kind::bundle, by_origin, "not one by the key of party 4");
    check_refused(Kind::bundle, "not one by the key of party 4",
                  [&] { (void)open_frame(by_vault, Kind::bundle, sample.id, sample.origin.point); });
    check_refused(Kind::bundle, "signature",
                  [&] { (void)open_frame(by_vault, Kind::bundle, sample.id, test::off_the_curve()); });
    check_refused(Kind::bundle, "signature",
                  [&] { (void)open_frame(by_vault, Kind::bundle, sample.id, Point{}); });
}

BOOST_AUTO_TEST_CASE(requests_are_signed_with_the_key_they_ask_for) {
    const auto& sample = sample_fleet();
    const Octets by_another =
        make_frame({Kind::request, sample.id, 0}, sample.body(Kind::request), sample.origin.signer());
    check_refused(Kind::request, "signature", [&] { (void)open_request(by_another, sample.id); });
    const Octets short_body = make_frame({Kind::request, sample.id, 0}, Octets(200), sample.vault.signer());
    check_refused(Kind::request, "of another size", [&] { (void)open_request(short_body, sample.id); });
}

BOOST_AUTO_TEST_CASE(bodies_that_are_too_large_are_not_signed) {
    for (const Kind kind : all_kinds) {
        const Signer nobody = [](Bytes) -> Signature { throw std::logic_error("signed"); };
        const FrameHead head{kind, sample_fleet().id, kind == Kind::request ? 0U : 4U};
        const std::size_t largest = largest_frame(kind) - frame_overhead;
        BOOST_CHECK_THROW(make_frame(head, Octets(largest + 1), nobody), std::invalid_argument);
        BOOST_CHECK_THROW(make_frame(head, Octets(largest), nobody), std::logic_error);
    }
}

BOOST_AUTO_TEST_CASE(hashes_are_of_all_but_the_signature) {
    const auto& sample = sample_fleet();
    const Octets body = sample.body(Kind::bundle);
    const auto made_by = [&](PartyNumber signer) {
        return make_frame({Kind::bundle, sample.id, signer}, body, sample.vault.signer());
    };
    const Octets first = made_by(4), again = made_by(4);
    BOOST_TEST(first != again);
    BOOST_TEST((frame_hash(first) == frame_hash(again)));
    BOOST_TEST((frame_hash(first) != frame_hash(made_by(5))));
    BOOST_CHECK_THROW(frame_hash(Octets(frame_overhead - 1)), FrameError);
    BOOST_CHECK_NO_THROW(frame_hash(Octets(frame_overhead)));
}

BOOST_AUTO_TEST_CASE(signatures_out_of_range_are_refused) {
    const Pair pair;
    const Octets message(100, 1);
    const Signature good = sign_with(pair.key.get(), message);
    BOOST_TEST(verifies(pair.point, message, good));
    const auto order = tests::from_hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    const Octets numbers[] = {
        Octets(32), order,
        tests::from_hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632552"),
        Octets(32, 0xff)};
    for (const Octets& number : numbers)
        for (const std::ptrdiff_t half : {0, 32}) {
            Signature bad = good;
            std::ranges::copy(number, bad.begin() + half);
            BOOST_TEST(!verifies(pair.point, message, bad));
        }
    BOOST_TEST(!verifies(pair.point, message, Signature{}));
    Signature swapped = good;
    std::rotate(swapped.begin(), swapped.begin() + 32, swapped.end());
    BOOST_TEST(!verifies(pair.point, message, swapped));
    BOOST_TEST(!verifies(pair.point, Octets(99, 1), good));
    BOOST_TEST(!verifies(test::off_the_curve(), message, good));
    BOOST_TEST(!verifies(Point{}, message, good));
    BOOST_TEST(ERR_peek_error() == 0U);
}

// r or s with zeros at its front is shorter in DER, but not in a frame.
BOOST_AUTO_TEST_CASE(short_numbers_keep_their_places) {
    const Pair pair;
    bool short_r = false, short_s = false;
    for (std::uint32_t i = 0; i < 20'000 && !(short_r && short_s); ++i) {
        const Octets message{static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(i >> 8)};
        const Signature made = sign_with(pair.key.get(), message);
        if (made[0] != 0 && made[32] != 0)
            continue;
        short_r |= made[0] == 0;
        short_s |= made[32] == 0;
        BOOST_TEST(verifies(pair.point, message, made));
    }
    BOOST_TEST(short_r);
    BOOST_TEST(short_s);
}

BOOST_AUTO_TEST_CASE(keys_of_another_kind_do_not_sign) {
    const auto check_no_signature = [](EVP_PKEY* key) {
        BOOST_CHECK_EXCEPTION(sign_with(key, Octets(10)), FrameError, [](const FrameError& error) {
            BOOST_TEST_INFO(error.what());
            return std::string(error.what()).starts_with("signing: ");
        });
        BOOST_TEST(ERR_peek_error() == 0U);
    };
    check_no_signature(nullptr);
    for (EVP_PKEY* raw : {EVP_EC_gen("P-384"), EVP_EC_gen("P-521"), EVP_RSA_gen(2048),
                          EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")}) {
        const hpke::KeyPtr key(raw);
        check_no_signature(key.get());
    }
    const hpke::KeyPtr without_private = hpke::parse_point(sample_fleet().vault.point, "a key");
    check_no_signature(without_private.get());
}

// As libp11's: nothing of the key but its public half is in memory.
BOOST_AUTO_TEST_CASE(keys_in_a_token_sign) {
    const Pair pair;
    test::KeyInToken token(pair.key.get(), pair.point);
    const hpke::KeyPtr key(token.make_key());
    const Octets message(1000, 7);
    BOOST_TEST(verifies(pair.point, message, sign_with(key.get(), message)));
    token.fails = true;
    BOOST_CHECK_EXCEPTION(sign_with(key.get(), message), FrameError, [](const FrameError& error) {
        return std::string(error.what()) == "signing: failed: the token is gone";
    });
}

}  // namespace
}  // namespace stek::fleet
