#include "daemon/headline.hpp"

namespace stek::daemon {
namespace {

std::string span(std::int64_t seconds) {
    constexpr std::int64_t minute = 60, hour = 3600;
    if (seconds <= 2 * minute)
        return std::to_string(seconds) + " s";
    if (seconds <= 2 * hour)
        return std::to_string(seconds / minute) + " min";
    return std::to_string(seconds / hour) + " h";
}

}  // namespace

std::string headline(const KeyRing& ring, std::int64_t now, unsigned stale_epochs) {
    const auto* record = sealing_record(ring, now, stale_epochs);
    if (record == nullptr)
        return "no key to seal with";
    const auto left = record->seal_until - now;
    return "sealing with e=" + std::to_string(record->epoch) + "." + std::to_string(record->revision) + ", " +
           (left > 0 ? span(left) + " left" : span(-left) + " past its end");
}

}  // namespace stek::daemon
