#include "provider/key_ring.hpp"

#include <algorithm>
#include <limits>

namespace stek {
namespace {

/// The end of `epochs` periods after `time`, or the end of time.
std::int64_t after(std::int64_t time, std::uint64_t epochs, std::uint64_t period) noexcept {
    constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
    std::int64_t span = 0;
    std::int64_t end = 0;
    if (__builtin_mul_overflow(epochs, period, &span) || __builtin_add_overflow(time, span, &end))
        return never;
    return end;
}

}  // namespace

const RingRecord* sealing_record(const KeyRing& ring, std::int64_t now, unsigned stale_epochs) noexcept {
    const RingRecord* newest_begun = nullptr;
    for (auto record = ring.records.rbegin(); record != ring.records.rend(); ++record) {
        if (now < (*record)->not_before)
            continue;
        if (now < (*record)->seal_until)
            return record->get();
        if (newest_begun == nullptr)
            newest_begun = record->get();
    }
    if (newest_begun == nullptr || now >= newest_begun->open_until ||
        now >= after(newest_begun->seal_until, stale_epochs, ring.period))
        return nullptr;
    return newest_begun;
}

const RingRecord* opening_record(const KeyRing& ring, const KeyName& name, std::int64_t now) noexcept {
    const auto found = std::find_if(ring.records.begin(), ring.records.end(),
                                    [&](const auto& record) { return record->name == name; });
    return found != ring.records.end() && now < (*found)->open_until ? found->get() : nullptr;
}

}  // namespace stek
