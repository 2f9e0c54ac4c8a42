// What must go of a ring, and when.
#include "provider/key_ring.hpp"

#include <algorithm>
#include <ctime>

namespace stek {
namespace {

constexpr std::int64_t second_ms = 1000;
constexpr std::int64_t longest_wait_s = 86400;

std::int64_t milliseconds_of(clockid_t clock) noexcept {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<std::int64_t>(now.tv_sec) * second_ms + now.tv_nsec / 1'000'000;
}

/// Milliseconds left until a second of a clock that shows `now_ms`; no more than the longest wait.
std::uint64_t left(std::uint64_t end_s, std::uint64_t now_ms) noexcept {
    const std::uint64_t now_s = now_ms / second_ms;
    if (end_s <= now_s)
        return 0;
    if (end_s - now_s > longest_wait_s)
        return longest_wait_s * second_ms;
    return end_s * second_ms - now_ms;
}

}  // namespace

// The HMAC keys are not copied: a copy works out its own.
std::unique_ptr<RingRecord> copy_of(const RingRecord& from) {
    auto to = std::make_unique<RingRecord>();
    to->epoch = from.epoch;
    to->revision = from.revision;
    to->not_before = from.not_before;
    to->seal_until = from.seal_until;
    to->open_until = from.open_until;
    to->destroy_at = from.destroy_at;
    to->name = from.name;
    std::copy_n(from.admission_key.data(), from.admission_key.size(), to->admission_key.data());
    to->pair = from.pair;
    to->oaep = from.oaep;
    to->wrapped_key = from.wrapped_key;
    return to;
}

KeyRing copy_of(const KeyRing& from) {
    KeyRing to;
    to.location = from.location;
    to.token_serial = from.token_serial;
    to.generation = from.generation;
    to.written_at = from.written_at;
    to.period = from.period;
    for (const auto& record : from.records)
        to.records.push_back(copy_of(*record));
    to.left_out = from.left_out;
    return to;
}

bool is_known(const KeyRing& ring, const KeyName& name) noexcept {
    return std::ranges::find(ring.left_out, name) != ring.left_out.end() ||
           std::ranges::any_of(ring.records, [&](const auto& record) { return record->name == name; });
}

Moment Moment::now() noexcept {
    return {milliseconds_of(CLOCK_REALTIME), static_cast<std::uint64_t>(milliseconds_of(CLOCK_BOOTTIME))};
}

bool is_over(const RingRecord& record, Moment now) noexcept {
    return now.wall_ms / second_ms >= record.open_until || now.boot_ms / second_ms >= record.destroy_at;
}

std::optional<std::uint64_t> next_end(const KeyRing& ring, Moment now) noexcept {
    std::optional<std::uint64_t> next;
    for (const auto& record : ring.records) {
        const auto opens_for = left(static_cast<std::uint64_t>(record->open_until),
                                    static_cast<std::uint64_t>(std::max<std::int64_t>(now.wall_ms, 0)));
        const auto end = now.boot_ms + std::min(opens_for, left(record->destroy_at, now.boot_ms));
        next = std::min(next.value_or(end), end);
    }
    return next;
}

std::shared_ptr<const KeyRing> without_those_over(std::shared_ptr<const KeyRing> ring, Moment now) {
    if (std::ranges::none_of(ring->records, [&](const auto& record) { return is_over(*record, now); }))
        return ring;
    auto rest = std::make_shared<KeyRing>(copy_of(*ring));
    for (const auto& record : rest->records)
        if (is_over(*record, now))
            rest->left_out.push_back(record->name);
    std::erase_if(rest->records, [&](const auto& record) { return is_over(*record, now); });
    return rest;
}

}  // namespace stek
