#include "provider/decline_log.hpp"

#include "provider/journal.hpp"

#include <exception>
#include <string>

namespace stek {
namespace {

/// What a person who reads the journal can do something with.
const char* explanation(Decline why) noexcept {
    switch (why) {
        case Decline::no_ring:
            return "there is no key ring";
        case Decline::no_key_to_seal:
            return "no key of the ring seals now";
        case Decline::unknown_key:
            return "its key is not in the ring";
        case Decline::expired_key:
            return "its key's open window is over";
        case Decline::foreign:
            return "its HMAC is wrong, being forged or of another audience; or which one is needed is not "
                   "known yet";
        case Decline::bad_tag:
            return "its GCM tag is wrong";
        case Decline::too_old:
            return "its full handshake is longer ago than max-lineage";
        case Decline::no_audience:
            return "nothing to bind it to: no certificate, and no text in the setting audience; or client "
                   "certificates were asked for only after the handshake";
        case Decline::token_down:
            return "the ticket token is not usable";
        case Decline::key_limit:
            return "this process has sealed its share under the key (max-processes)";
        case Decline::malformed:
            return "it, or what came with it, is malformed";
        case Decline::count_:
            break;
    }
    return "";
}

void tell(Decline why, std::uint64_t count, bool first) {
    const std::string name = decline_name(why);
    const std::string number = std::to_string(count);
    const std::string tickets = count == 1 ? "1 ticket" : number + " tickets";
    journal::send(
        journal::Level::info,
        "declined " + tickets + (first ? "" : " since the last line") + ", " + name + ": " + explanation(why),
        {{"STEK_STATE", "declined"}, {"STEK_REASON", name}, {"STEK_COUNT", number}});
}

}  // namespace

void DeclineLog::declined(Decline why, std::uint64_t now) noexcept {
    if (why >= Decline::count_)
        return;
    Reason& reason = reasons_[static_cast<unsigned>(why)];
    reason.untold.fetch_add(1, std::memory_order_relaxed);
    std::uint64_t due = reason.next_line.load(std::memory_order_relaxed);
    if (now < due ||
        !reason.next_line.compare_exchange_strong(due, now + seconds_between, std::memory_order_relaxed))
        return;
    // 0: a thread that had the line before took ours along.
    const std::uint64_t count = reason.untold.exchange(0, std::memory_order_relaxed);
    if (count == 0)
        return;
    try {
        tell(why, count, due == 0);
    } catch (const std::exception&) {
        // Out of memory: the counters still have it.
    }
}

}  // namespace stek
