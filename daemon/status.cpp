#include "daemon/status.hpp"

#include "daemon/rotation.hpp"
#include "daemon/state.hpp"

#include <algorithm>
#include <cerrno>
#include <unistd.h>

namespace stek::daemon {
namespace {

RecordState state_of(const RingRecord& record, const RingRecord* sealing, std::int64_t now) {
    if (&record == sealing)
        return now < record.seal_until ? RecordState::sealing : RecordState::stale;
    if (now < record.not_before)
        return RecordState::prepared;
    return now < record.open_until ? RecordState::opening : RecordState::expired;
}

std::int64_t end_of(const RingRecord& record, RecordState state, std::int64_t longest_stale) {
    switch (state) {
        case RecordState::prepared:
            return record.not_before;
        case RecordState::sealing:
            return record.seal_until;
        case RecordState::stale:
            return std::min(record.seal_until + longest_stale, record.open_until);
        case RecordState::opening:
        case RecordState::expired:
            break;
    }
    return record.open_until;
}

// Records overlap where a revision was made, and a clock that jumped leaves some far from now.
std::int64_t sealed_through(const KeyRing& ring, std::int64_t now) {
    std::int64_t through = now;
    bool further = true;
    while (further) {
        further = false;
        for (const auto& record : ring.records) {
            if (record->not_before <= through && through < record->seal_until) {
                through = record->seal_until;
                further = true;
            }
        }
    }
    if (through > now)
        return through;
    std::int64_t last = std::min<std::int64_t>(now, 0);
    for (const auto& record : ring.records)
        if (record->seal_until <= now)
            last = std::max(last, record->seal_until);
    return last;
}

std::string text_of(KeyId key) {
    return std::to_string(key.epoch) + "." + std::to_string(key.revision);
}

class Gathering {
  public:
    Gathering(const Config& config, const Heard& heard) : config_(config) {
        status_.now = read_clocks();
        status_.location = config.location;
        status_.policy = config.policy;
        status_.stale_epochs = config.stale_epochs;
        status_.vault_uri = config.vault.text();
        status_.ticket_uri = config.ticket.text();
        status_.private_pairs = config.private_pairs;
        status_.health = heard.health;
        if (!heard.problem.empty())
            status_.problems.push_back(heard.problem);
        if (heard.health && !heard.health->trouble.empty())
            status_.problems.push_back(heard.health->trouble);
    }

    Status run() {
        attempt(&Gathering::look_at_state);
        attempt(&Gathering::look_at_ring);
        attempt(&Gathering::look_at_counters);
        return std::move(status_);
    }

  private:
    void attempt(void (Gathering::*look)()) {
        try {
            (this->*look)();
        } catch (const std::exception& error) {
            status_.problems.emplace_back(error.what());
        }
    }

    void look_at_state() {
        // To who may not enter, the directory seems empty and unlocked.
        if (::access(config_.state.c_str(), R_OK | X_OK) != 0 && errno == EACCES)
            throw_errno("cannot look into", config_.state);
        status_.daemon = StateDirectory::holder(config_.state);
        // Who has it run by a timer (--once) has no use for a control socket.
        if (status_.daemon == 0 && !config_.control.empty())
            status_.problems.emplace_back("stekd does not run: there will be no new keys");
        auto state = StateDirectory::peek(config_.state);
        status_.ticket_serial = std::move(state.token_serial);
        status_.weaknesses = std::move(state.weaknesses);
    }

    void look_at_ring() {
        if (config_.keyring.empty())
            return;  // a fleet's origin or vault: the machines have rings
        const auto ring = read_ring_file(config_.keyring);
        if (!ring) {
            status_.problems.push_back("there is no key ring at " + config_.keyring);
            return;
        }
        status_.ring = status_of(*ring, status_.now, config_.stale_epochs);
        if (ring->location != config_.location)
            status_.problems.push_back("the key ring is of location " + ring->location + ", not of " +
                                       config_.location);
        const auto seals = std::ranges::find_if(status_.ring->records, [](const RecordStatus& record) {
            return record.state == RecordState::sealing || record.state == RecordState::stale;
        });
        if (seals == status_.ring->records.end())
            status_.problems.emplace_back("no key seals now");
        else if (seals->state == RecordState::stale)
            status_.problems.push_back("rotation is late: key " + text_of(seals->key) +
                                       " seals beyond its time, for " + duration_text(seals->seconds_left) +
                                       " at most");
    }

    void look_at_counters() {
        if (!config_.stats.empty())
            status_.counters = collect_counters(config_.stats, false);
    }

    const Config& config_;
    Status status_;
};

}  // namespace

const char* name_of(RecordState state) noexcept {
    switch (state) {
        case RecordState::prepared:
            return "prepared";
        case RecordState::sealing:
            return "sealing";
        case RecordState::stale:
            return "stale";
        case RecordState::opening:
            return "opening";
        case RecordState::expired:
            break;
    }
    return "expired";
}

RingStatus status_of(const KeyRing& ring, const Now& now, unsigned stale_epochs) {
    RingStatus status{.generation = ring.generation,
                      .written_at = ring.written_at,
                      .seal_until = sealed_through(ring, now.wall),
                      .records = {}};
    const auto* sealing = sealing_record(ring, now.wall, stale_epochs);
    const auto longest_stale = static_cast<std::int64_t>(stale_epochs * ring.period);
    for (const auto& record : ring.records) {
        const auto state = state_of(*record, sealing, now.wall);
        status.records.push_back(
            {.key = {record->epoch, record->revision},
             .name = record->name,
             .pair = record->pair,
             .state = state,
             .not_before = record->not_before,
             .seal_until = record->seal_until,
             .open_until = record->open_until,
             .seconds_left = std::max<std::int64_t>(end_of(*record, state, longest_stale) - now.wall, 0),
             .destroyed_in = record->destroy_at > now.boot ? record->destroy_at - now.boot : 0});
    }
    return status;
}

Status gather_status(const Config& config, const Heard& heard) {
    return Gathering(config, heard).run();
}

}  // namespace stek::daemon
