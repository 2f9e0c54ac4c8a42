// Rings to put to the test.
#pragma once

#include "provider/key_ring.hpp"

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace stek::test {

/// A record whose bytes all follow from epoch and revision.
inline std::unique_ptr<RingRecord> sample_record(std::uint64_t epoch, std::uint32_t revision = 0,
                                                 std::int64_t period = 3600, std::int64_t window = 7200) {
    auto record = std::make_unique<RingRecord>();
    std::mt19937_64 random(epoch * 1000 + revision);
    const auto fill = [&](auto& bytes) {
        for (auto& byte : bytes)
            byte = static_cast<std::uint8_t>(random());
    };
    record->epoch = epoch;
    record->revision = revision;
    record->not_before = static_cast<std::int64_t>(epoch) * period;
    record->seal_until = record->not_before + period;
    record->open_until = record->seal_until + window;
    record->destroy_at = static_cast<std::uint64_t>(record->open_until);
    fill(record->name);
    fill(record->pair);
    auto admission = record->admission_key.span();
    fill(admission);
    record->wrapped_key.resize(384);
    fill(record->wrapped_key);
    return record;
}

inline KeyRing sample_ring(const std::vector<std::pair<std::uint64_t, std::uint32_t>>& keys,
                           std::string location = "here", std::uint64_t generation = 1) {
    KeyRing ring;
    ring.location = std::move(location);
    ring.token_serial = "0123456789abcdef";
    ring.generation = generation;
    ring.written_at = 1'800'000'000;
    for (const auto& [epoch, revision] : keys)
        ring.records.push_back(sample_record(epoch, revision));
    return ring;
}

}  // namespace stek::test
