// A server's view of the ring while the file changes, vanishes, breaks, and is read by many threads.
#define BOOST_TEST_MODULE ring_reader
#include "provider/ring_reader.hpp"

#include "sample_ring.hpp"
#include "tests/fixtures/failing_new.hpp"
#include "tests/fixtures/workspace.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <filesystem>
#include <fstream>
#include <latch>
#include <system_error>
#include <thread>

#include <boost/test/unit_test.hpp>
#include <sys/wait.h>

using namespace stek;
using namespace std::chrono_literals;

namespace {

/// A sample whose time is not over for long.
std::unique_ptr<RingRecord> lasting_record(std::uint64_t epoch, std::uint32_t revision = 0) {
    auto record = test::sample_record(epoch, revision);
    record->open_until = std::time(nullptr) + 1'000'000;
    record->destroy_at = Moment::now().boot_ms / 1000 + 1'000'000;
    return record;
}

KeyRing sample_ring(const std::vector<std::pair<std::uint64_t, std::uint32_t>>& keys,
                    const std::string& location, std::uint64_t generation) {
    KeyRing ring = test::sample_ring({}, location, generation);
    for (const auto& [epoch, revision] : keys)
        ring.records.push_back(lasting_record(epoch, revision));
    return ring;
}

struct Fixture {
    test::Workspace workspace{"ring-reader"};
    std::string path = workspace.path() / "ring";
    std::uint64_t second = 1;

    void publish(const KeyRing& ring) { replace_ring_file(path, encode_ring(ring).bytes(), {}); }
    void publish(std::uint64_t generation) { publish(sample_ring({{generation, 0}}, "here", generation)); }
    /// Another file in its place: most often with the inode of the one before.
    void write(std::string_view bytes) {
        std::filesystem::remove(path);
        std::ofstream(path, std::ios::binary) << bytes;
    }
    std::shared_ptr<const RingReader::View> look(RingReader& reader) { return reader.current(++second); }
};

std::uint64_t generation(const RingReader::View& view) {
    return view.ring ? view.ring->generation : 0;
}

bool says(const RingReader::View& view, const std::string& what) {
    BOOST_TEST_INFO("reason: " << view.reason);
    return view.reason.find(what) != std::string::npos;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(follows_the_file_once_a_second, Fixture) {
    RingReader reader(path, "here");
    auto view = look(reader);
    BOOST_TEST((view->state == RingState::absent));
    BOOST_TEST(view->ring == nullptr);
    BOOST_TEST(says(*view, path));
    const auto absent_sequence = view->sequence;

    publish(1);
    BOOST_TEST(reader.current(second)->sequence == absent_sequence);
    BOOST_TEST(reader.current(second - 1)->sequence == absent_sequence);
    view = look(reader);
    BOOST_TEST((view->state == RingState::good));
    BOOST_TEST(view->reason.empty());
    BOOST_TEST(generation(*view) == 1U);
    BOOST_TEST(view->sequence != absent_sequence);

    const auto good_sequence = view->sequence;
    BOOST_TEST(look(reader)->sequence == good_sequence);
    publish(1);  // the same bytes in another file
    BOOST_TEST(look(reader)->sequence == good_sequence);
    BOOST_TEST(look(reader)->ring == view->ring);

    publish(2);
    BOOST_TEST(generation(*reader.current(second)) == 1U);
    BOOST_TEST(generation(*look(reader)) == 2U);
    BOOST_TEST(generation(*view) == 1U);  // a snapshot stays as it was
}

// The file need not change for that.
BOOST_FIXTURE_TEST_CASE(what_there_was_no_memory_for_is_read_again, Fixture) {
    publish(1);
    std::this_thread::sleep_for(2100ms);  // from then on it is known by its stamp
    bool failed = true;
    unsigned nth = 0;
    while (failed) {
        RingReader reader(path, "here");
        {
            const tests::FailingNew lack(++nth);
            static_cast<void>(look(reader));
            failed = tests::FailingNew::has_failed();
        }
        const auto view = look(reader);
        BOOST_TEST((view->state == RingState::good), "allocation " << nth << ": " << view->reason);
        BOOST_TEST(generation(*view) == 1U);
    }
    BOOST_TEST(nth > 5U);
}

BOOST_FIXTURE_TEST_CASE(what_is_over_goes_though_there_was_no_memory_at_first, Fixture) {
    KeyRing ring = sample_ring({{1, 0}}, "here", 1);
    ring.records.front()->destroy_at = Moment::now().boot_ms / 1000 + 2;
    publish(ring);
    std::deque<RingReader> readers;
    for (int i = 0; i < 20; ++i) {
        readers.emplace_back(path, "here");
        BOOST_REQUIRE(look(readers.back())->ring->records.size() == 1U);
    }
    std::this_thread::sleep_for(2100ms);
    unsigned nth = 0, failed = 0;
    for (RingReader& reader : readers) {
        {
            const tests::FailingNew lack(++nth);
            static_cast<void>(look(reader));
            failed += tests::FailingNew::has_failed() ? 1 : 0;
        }
        BOOST_TEST(look(reader)->ring->records.empty(), "allocation " << nth);
    }
    BOOST_TEST(failed > 2U);
    BOOST_TEST(failed < nth);
}

BOOST_FIXTURE_TEST_CASE(an_absent_file_empties_the_view_at_once_and_comes_back, Fixture) {
    publish(1);
    RingReader reader(path, "");
    BOOST_TEST(generation(*look(reader)) == 1U);
    const std::string aside = path + ".aside";
    std::filesystem::rename(path, aside);
    auto view = look(reader);
    BOOST_TEST((view->state == RingState::absent));
    BOOST_TEST(view->ring == nullptr);
    std::filesystem::rename(aside, path);
    view = look(reader);
    BOOST_TEST((view->state == RingState::good));
    BOOST_TEST(generation(*view) == 1U);
    // Its directory gone, as after a stop of stekd.
    std::filesystem::remove(path);
    std::filesystem::remove(workspace.path());
    BOOST_TEST((look(reader)->state == RingState::absent));
}

BOOST_FIXTURE_TEST_CASE(whatever_is_no_ring_leaves_the_last_good_one, Fixture) {
    publish(1);
    RingReader reader(path, "here");
    BOOST_TEST(generation(*look(reader)) == 1U);
    const Secret newer = encode_ring(sample_ring({{2, 0}}, "here", 2));
    const std::string good(reinterpret_cast<const char*>(newer.data()), newer.size());
    std::string future = good;
    future[9] = 2;
    std::string flipped = good;
    flipped[200] = static_cast<char>(flipped[200] ^ 1);
    std::string noise(10'000'000, '\0');
    std::mt19937 random(3);
    for (char& byte : noise)
        byte = static_cast<char>(random());

    const auto corrupt = [&](std::string_view bytes, const std::string& reason) {
        write(bytes);
        const auto view = look(reader);
        BOOST_TEST((view->state == RingState::corrupt));
        BOOST_TEST(generation(*view) == 1U);
        BOOST_TEST(says(*view, reason));
        BOOST_TEST(says(*view, path));
        // Said once: the same trouble is no news.
        BOOST_TEST(look(reader)->sequence == view->sequence);
    };
    corrupt("", "empty");
    corrupt("stekring", "too short");
    corrupt(std::string_view(good).substr(0, good.size() - 1), "checksum");
    corrupt(flipped, "checksum");
    corrupt(future, "newer");
    corrupt(noise, "10000000 bytes, more than");
    corrupt(std::string_view(noise).substr(0, 50'000), "not one");

    write(good);
    auto view = look(reader);
    BOOST_TEST((view->state == RingState::good));
    BOOST_TEST(generation(*view) == 2U);

    std::filesystem::remove(path);
    std::filesystem::create_directory(path);
    view = look(reader);
    BOOST_TEST((view->state == RingState::corrupt));
    BOOST_TEST(generation(*view) == 2U);
    BOOST_TEST(says(*view, "not a regular file"));
}

BOOST_FIXTURE_TEST_CASE(every_cut_and_a_flip_in_every_byte_leave_the_last_good_one, Fixture) {
    publish(1);
    RingReader reader(path, "here");
    BOOST_TEST(generation(*look(reader)) == 1U);
    const Secret newer = encode_ring(sample_ring({{2, 0}}, "here", 2));
    const std::string good(reinterpret_cast<const char*>(newer.data()), newer.size());
    for (std::size_t at = 0; at < good.size(); ++at) {
        write(std::string_view(good).substr(0, at));
        const auto cut = look(reader);
        std::string flipped = good;
        flipped[at] = static_cast<char>(flipped[at] ^ (1 << at % 8));
        write(flipped);
        const auto changed = look(reader);
        BOOST_TEST_CONTEXT("byte " << at) {
            BOOST_TEST((cut->state == RingState::corrupt));
            BOOST_TEST((changed->state == RingState::corrupt));
            BOOST_TEST(generation(*cut) == 1U);
            BOOST_TEST(generation(*changed) == 1U);
        }
    }
}

BOOST_FIXTURE_TEST_CASE(never_a_good_ring_is_corrupt_and_empty, Fixture) {
    write("noise");
    RingReader reader(path, "here");
    const auto view = look(reader);
    BOOST_TEST((view->state == RingState::corrupt));
    BOOST_TEST(view->ring == nullptr);
}

BOOST_FIXTURE_TEST_CASE(another_locations_ring_is_not_taken, Fixture) {
    publish(sample_ring({{1, 0}}, "there", 1));
    RingReader strict(path, "here");
    RingReader open(path, "");
    auto view = look(strict);
    BOOST_TEST((view->state == RingState::corrupt));
    BOOST_TEST(view->ring == nullptr);
    BOOST_TEST(says(*view, "of location there, not here"));
    BOOST_TEST(generation(*look(open)) == 1U);

    publish(2);  // here
    BOOST_TEST(generation(*look(strict)) == 2U);
    view = look(open);
    BOOST_TEST((view->state == RingState::corrupt));
    BOOST_TEST(generation(*view) == 1U);
    BOOST_TEST(says(*view, "of location here, not there"));

    // The first seen stays the one, also over an absence.
    std::filesystem::remove(path);
    BOOST_TEST((look(open)->state == RingState::absent));
    publish(3);
    view = look(open);
    BOOST_TEST((view->state == RingState::corrupt));
    BOOST_TEST(view->ring == nullptr);
    publish(sample_ring({{4, 0}}, "there", 4));
    BOOST_TEST(generation(*look(open)) == 4U);
}

// The same inode, the same size, the same tick of the clock: only the bytes differ.
BOOST_FIXTURE_TEST_CASE(a_change_within_one_tick_is_seen, Fixture) {
    publish(1);
    RingReader reader(path, "here");
    for (std::uint64_t round = 2; round < 200; ++round) {
        const Secret ring = encode_ring(sample_ring({{round, 0}}, "here", round));
        std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
            .write(reinterpret_cast<const char*>(ring.data()), static_cast<std::streamsize>(ring.size()));
        BOOST_TEST(generation(*look(reader)) == round);
    }
}

BOOST_FIXTURE_TEST_CASE(many_readers_in_one_thread_do_not_mix, Fixture) {
    std::deque<RingReader> readers;
    for (std::uint64_t i = 1; i <= 9; ++i) {
        const std::string own = path + std::to_string(i);
        replace_ring_file(own, encode_ring(sample_ring({{i, 0}}, "here", i)).bytes(), {});
        readers.emplace_back(own, "here");
    }
    for (unsigned round = 0; round < 3; ++round) {
        ++second;
        for (std::uint64_t i = 1; i <= 9; ++i)
            BOOST_TEST(generation(*readers[i - 1].current(second)) == i);
    }
    // One made where another was: not confused by its address.
    for (std::uint64_t i = 1; i <= 9; ++i) {
        auto reader = std::make_unique<RingReader>(path + std::to_string(i), "here");
        BOOST_TEST(generation(*reader->current(second)) == i);
    }
}

BOOST_FIXTURE_TEST_CASE(all_threads_wait_for_the_first_look, Fixture) {
    publish(1);
    for (unsigned round = 0; round < 50; ++round) {
        RingReader reader(path, "here");
        std::latch start(4);
        std::atomic<unsigned> empty_handed{0};
        std::vector<std::jthread> threads;
        for (unsigned i = 0; i < 4; ++i) {
            threads.emplace_back([&] {
                start.arrive_and_wait();
                if (generation(*reader.current(5)) != 1)
                    ++empty_handed;
            });
        }
        threads.clear();
        BOOST_TEST(empty_handed == 0U);
    }
}

namespace {

/// What no view may ever show.
std::string wrong_with(const RingReader::View& view, std::uint64_t generation_before) {
    if (view.state != RingState::good || view.ring == nullptr)
        return "not good: " + view.reason;
    const KeyRing& ring = *view.ring;
    if (ring.generation < generation_before)
        return "went back";
    if (ring.records.size() != 1 + ring.generation % 5)
        return "records of another generation";
    for (std::size_t i = 0; i < ring.records.size(); ++i)
        if (ring.records[i]->epoch != ring.generation + i)
            return "a record of another generation";
    return {};
}

KeyRing ring_of(std::uint64_t generation) {
    KeyRing ring = sample_ring({}, "here", generation);
    for (std::uint64_t i = 0; i < 1 + generation % 5; ++i)
        ring.records.push_back(lasting_record(generation + i));
    return ring;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_ring_replaced_a_thousand_times_a_second_while_threads_read, Fixture) {
    constexpr std::uint64_t changes = 2000;
    publish(ring_of(1));
    RingReader reader(path, "here");
    std::atomic<std::uint64_t> clock{1};
    std::atomic<bool> done{false};
    std::atomic<unsigned> failures{0};
    std::atomic<std::uint64_t> views_seen{0};
    {
        std::vector<std::jthread> threads;
        for (unsigned i = 0; i < 4; ++i) {
            threads.emplace_back([&, i] {
                std::uint64_t last = 0;
                while (!done) {
                    // Two threads drive the clock, so that looks come as fast as they can; two just read.
                    const auto view = reader.current(i % 2 == 0 ? ++clock : clock.load());
                    if (!wrong_with(*view, last).empty())
                        ++failures;
                    if (generation(*view) > last)
                        ++views_seen;
                    last = generation(*view);
                    std::this_thread::sleep_for(20us);
                }
            });
        }
        for (std::uint64_t generation = 2; generation <= changes; ++generation) {
            publish(ring_of(generation));
            std::this_thread::sleep_for(1ms);
        }
        done = true;
    }
    BOOST_TEST(failures == 0U);
    BOOST_TEST(views_seen > 8U);
    BOOST_TEST(generation(*reader.current(++clock)) == changes);
}

// A writer that does not rename: what is read may be torn, and then the last good ring stays.
BOOST_FIXTURE_TEST_CASE(a_ring_rewritten_in_place_is_never_taken_torn, Fixture) {
    publish(ring_of(1));
    RingReader reader(path, "here");
    BOOST_TEST(generation(*reader.current(1)) == 1U);
    std::atomic<std::uint64_t> clock{1};
    std::atomic<bool> done{false};
    std::atomic<unsigned> failures{0};
    {
        std::vector<std::jthread> threads;
        for (unsigned i = 0; i < 3; ++i) {
            threads.emplace_back([&] {
                while (!done) {
                    const auto view = reader.current(++clock);
                    if (view->ring == nullptr || view->ring->records.size() != 1 + view->ring->generation % 5)
                        ++failures;
                    std::this_thread::sleep_for(20us);
                }
            });
        }
        for (std::uint64_t generation = 2; generation <= 1000; ++generation) {
            const Secret ring = encode_ring(ring_of(generation));
            std::ofstream file(path, std::ios::binary);
            for (std::size_t at = 0; at < ring.size(); at += 100) {
                const std::size_t piece = std::min<std::size_t>(100, ring.size() - at);
                file.write(reinterpret_cast<const char*>(ring.data()) + at,
                           static_cast<std::streamsize>(piece));
                file.flush();
            }
        }
        done = true;
    }
    BOOST_TEST(failures == 0U);
    BOOST_TEST(generation(*reader.current(++clock)) == 1000U);
}

// Servers fork with threads about. Whatever a thread of the parent was doing in that moment, the child must
// follow the file.
BOOST_FIXTURE_TEST_CASE(a_child_forked_in_the_middle_of_a_look_goes_on, Fixture) {
    publish(ring_of(1));
    RingReader reader(path, "here");
    std::atomic<std::uint64_t> clock{1};
    std::atomic<bool> done{false};
    unsigned lost = 0;
    {
        std::vector<std::jthread> threads;
        for (unsigned i = 0; i < 2; ++i) {
            threads.emplace_back([&] {
                while (!done)
                    reader.current(++clock);
            });
        }
        for (std::uint64_t generation = 2; generation <= 300; ++generation) {
            publish(ring_of(generation));
            const pid_t child = ::fork();
            BOOST_REQUIRE(child >= 0);
            if (child == 0) {
                ::alarm(20);
                const auto view = reader.current(clock + 1'000'000);
                ::_exit(view->ring != nullptr && view->ring->generation == generation ? 0 : 1);
            }
            int status = 0;
            BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
            lost += status != 0 ? 1 : 0;
        }
        done = true;
    }
    BOOST_TEST(lost == 0U);
}
