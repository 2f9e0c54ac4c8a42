// The HMAC keys that a record remembers: found again, driven out, never a mixture, wiped.
#define BOOST_TEST_MODULE mac_keys
#include "provider/mac_keys.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include <boost/test/unit_test.hpp>

namespace stek {
namespace {

// Audiences with the same first byte share a place.
Audience audience(std::uint8_t place, std::uint8_t which = 0) {
    Audience result;
    result.fill(which);
    result[0] = place;
    return result;
}

void fill(SecretArray<32>& key, std::uint8_t byte) {
    std::ranges::fill(key.span(), byte);
}

bool is_filled(const SecretArray<32>& key, std::uint8_t byte) {
    return std::ranges::all_of(key.bytes(), [byte](std::uint8_t each) { return each == byte; });
}

BOOST_AUTO_TEST_CASE(nothing_at_first) {
    const MacKeys keys;
    SecretArray<32> found;
    for (unsigned place = 0; place < 256; ++place)
        BOOST_TEST(!keys.find(audience(static_cast<std::uint8_t>(place)), found));
    BOOST_TEST(!keys.find(Audience{}, found));
}

BOOST_AUTO_TEST_CASE(each_audience_finds_its_own) {
    MacKeys keys;
    SecretArray<32> key, found;
    for (std::uint8_t place = 0; place < 16; ++place) {
        fill(key, place);
        keys.remember(audience(place), key);
    }
    for (std::uint8_t place = 0; place < 16; ++place) {
        BOOST_TEST_REQUIRE(keys.find(audience(place), found));
        BOOST_TEST(is_filled(found, place));
        BOOST_TEST(!keys.find(audience(place, 1), found));
    }
}

BOOST_AUTO_TEST_CASE(the_last_one_has_the_place) {
    MacKeys keys;
    SecretArray<32> key, found;
    for (std::uint8_t which = 0; which < 200; ++which) {
        fill(key, which);
        keys.remember(audience(3, which), key);
        BOOST_TEST_REQUIRE(keys.find(audience(3, which), found));
        BOOST_TEST(is_filled(found, which));
        BOOST_TEST(!keys.find(audience(3, static_cast<std::uint8_t>(which + 1)), found));
    }
}

// Each audience has its own key: one word of another's would show.
BOOST_AUTO_TEST_CASE(threads_see_no_mixture) {
    constexpr std::uint8_t audiences = 5;
    constexpr unsigned rounds = 100'000;
    MacKeys keys;
    std::atomic<unsigned> mixtures{0}, finds{0};
    const auto work = [&](std::uint8_t first) {
        SecretArray<32> key, found;
        for (unsigned i = 0; i < rounds; ++i) {
            const auto which = static_cast<std::uint8_t>((first + i) % audiences);
            if (keys.find(audience(0, which), found)) {
                finds.fetch_add(1, std::memory_order_relaxed);
                if (!is_filled(found, which))
                    mixtures.fetch_add(1, std::memory_order_relaxed);
            }
            fill(key, which);
            keys.remember(audience(0, which), key);
            if (i % 64 == first)
                std::this_thread::yield();
        }
    };
    {
        std::vector<std::jthread> threads;
        for (std::uint8_t thread = 0; thread < 4; ++thread)
            threads.emplace_back(work, thread);
    }
    BOOST_TEST(mixtures == 0U);
    BOOST_TEST(finds > 0U);
}

BOOST_AUTO_TEST_CASE(wiped_when_they_go) {
    alignas(MacKeys) std::array<std::uint8_t, sizeof(MacKeys)> memory;
    memory.fill(0xa5);
    auto* keys = new (memory.data()) MacKeys;
    SecretArray<32> key;
    fill(key, 0x77);
    for (unsigned place = 0; place < 16; ++place)
        keys->remember(audience(static_cast<std::uint8_t>(place)), key);
    const auto left = [&] { return std::ranges::count(memory, 0x77); };
    BOOST_TEST(left() == 16 * 32);
    std::destroy_at(keys);
    BOOST_TEST(left() == 0);
}

}  // namespace
}  // namespace stek
