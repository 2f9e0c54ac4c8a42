// A fleet of 50 locations and 500 machines on this host: from a bundle's being published to the ring in place
// at every machine (aim: 2 s), and what that is in messages, bytes and CPU time of three NATS servers. Wall
// time, so by whatever else the host does: the yardstick is a bare loop over as many values of these sizes.
#include "tests/bench/large_fleet.hpp"
#include "tests/bench/nats_traffic.hpp"
#include "tests/bench/results.hpp"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <nats/nats.h>
#include <stdexcept>

#include <sys/resource.h>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;

namespace {

using std::chrono::steady_clock;
using Figures = std::vector<double>;

constexpr LargeFleet::Size size{50, 10};
constexpr unsigned all_machines = size.locations * size.machines;
constexpr unsigned turns = 11, looks = 5, warm_up = 4, between_revisions = 1;

double milliseconds(steady_clock::duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
}

void must(natsStatus status) {
    if (status != NATS_OK)
        throw std::runtime_error(std::string("the bare loop: ") + natsStatus_GetText(status));
}

/// The yardstick: a bundle read for each location, and a record stored and read for each machine, one after
/// the other.
class BareLoop {
  public:
    explicit BareLoop(LargeFleet& fleet)
        : fleet_(fleet),
          connection_(fleet.cluster().servers.addresses(), fleet.bystander().tls, fleet.bystander().access) {}

    double run() {
        const std::vector<char> bundle(fleet_.bundle_size()), record(fleet_.record_size());
        store(key_of(0), bundle);
        const auto begun = steady_clock::now();
        for (unsigned i = 0; i < size.locations; ++i)
            read(key_of(0));
        for (unsigned i = 1; i <= all_machines; ++i) {
            store(key_of(i), record);
            read(key_of(i));
        }
        return milliseconds(steady_clock::now() - begun);
    }

  private:
    static std::string key_of(unsigned number) { return "record.bare." + std::to_string(number) + ".0"; }
    void store(const std::string& key, const std::vector<char>& value) {
        const auto subject = subject::value(bucket_, key);
        must(js_Publish(nullptr, connection_.jetstream(), subject.c_str(), value.data(),
                        static_cast<int>(value.size()), nullptr, nullptr));
    }
    // Any copy answers, the one that has not come so far as well.
    void read(const std::string& key) {
        const auto subject = subject::value(bucket_, key);
        jsDirectGetMsgOptions options;
        jsDirectGetMsgOptions_Init(&options);
        options.LastBySubject = subject.c_str();
        natsMsg* got = nullptr;
        natsStatus status = NATS_NOT_FOUND;
        while (status == NATS_NOT_FOUND)
            status = js_DirectGetMsg(&got, connection_.jetstream(), subject::stream(bucket_).c_str(), nullptr,
                                     &options);
        must(status);
        natsMsg_Destroy(got);
    }

    LargeFleet& fleet_;
    NatsConnection connection_;
    std::string bucket_ = bucket::of_location(LargeFleet::bystanders_location);
};

double own_cpu_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// What a kind of party sends and gets in a turn: a mean over all of them.
struct Share {
    std::string who;
    NatsRole role;
    double parties;
    Figures up, down, kilobytes_up, kilobytes_down;
};

/// One kind of turn, and what was found in each.
class Turns {
  public:
    Turns(LargeFleet& fleet, std::string what) : fleet_(fleet), what_(std::move(what)) {}

    /// Until all parties rest again.
    void take(const std::function<void()>& turn) {
        const auto traffic = traffic_of(fleet_.cluster().servers);
        const auto use = use_of(fleet_.cluster().servers);
        const double cpu = own_cpu_seconds();
        turn();
        fleet_.pulse().await_rest();
        note(traffic);
        const auto now = use_of(fleet_.cluster().servers);
        servers_cpu_.push_back(1e3 * (now.cpu_s - use.cpu_s));
        parties_cpu_.push_back(1e3 * (own_cpu_seconds() - cpu));
        between_.push_back(now.between_messages - use.between_messages);
        between_kilobytes_.push_back((now.between_bytes - use.between_bytes) / 1e3);
        if (const auto failed = fleet_.pulse().failures(); failed != 0)
            throw std::runtime_error(std::to_string(failed) + " runs failed");
    }
    void note_times(const LargeFleet::Reached& reached, double yardstick) {
        auto times = reached.in_place;
        std::ranges::sort(times);
        yardstick_.push_back(yardstick);
        recorded_.push_back(milliseconds(reached.recorded - reached.published));
        median_.push_back(milliseconds(times[times.size() / 2] - reached.published));
        last_.push_back(milliseconds(times.back() - reached.published));
    }

    void tell_times() const {
        const auto title = what_ + ": from the bundle's being published";
        tell_as(title, "the bare loop", "ms", yardstick_);
        tell_as(title, "all records stored", "ms", recorded_, yardstick_);
        tell_as(title, "the ring in place, median machine", "ms", median_, yardstick_);
        tell_as(title, "the ring in place, last machine (aim: 2,000)", "ms", last_, yardstick_);
    }
    void tell_traffic() const {
        for (const auto& share : shares_) {
            tell_as(what_ + ": messages", share.who + ", sent", "messages", share.up);
            tell_as(what_ + ": messages", share.who + ", got", "messages", share.down);
        }
        tell_as(what_ + ": messages", "the servers to each other, all", "messages", between_);
        for (const auto& share : shares_) {
            tell_as(what_ + ": bytes on TCP", share.who + ", sent", "kB", share.kilobytes_up);
            tell_as(what_ + ": bytes on TCP", share.who + ", got", "kB", share.kilobytes_down);
        }
        tell_as(what_ + ": bytes on TCP", "the servers to each other, all, payload", "kB",
                between_kilobytes_);
        tell_as(what_ + ": CPU time", "the three servers", "ms", servers_cpu_);
        tell_as(what_ + ": CPU time", "all parties", "ms", parties_cpu_);
    }

  private:
    void note(const TrafficByUser& before) {
        std::map<NatsRole, Traffic> sums;
        for (const auto& [user, now] : traffic_of(fleet_.cluster().servers))
            for (const auto& share : shares_)
                if (const auto earlier = before.find(user);
                    user.ends_with(std::string(",O=") + name_of(share.role)) && earlier != before.end() &&
                    user.find(LargeFleet::bystanders_location) == std::string::npos)
                    sums[share.role] += now - earlier->second;
        for (auto& share : shares_) {
            const auto mean = sums[share.role] / share.parties;
            share.up.push_back(mean.messages_up);
            share.down.push_back(mean.messages_down);
            share.kilobytes_up.push_back(mean.bytes_up / 1e3);
            share.kilobytes_down.push_back(mean.bytes_down / 1e3);
        }
    }
    static void tell_as(const std::string& title, const std::string& subject, const char* unit,
                        const Figures& figures, const Figures& yardstick = {}) {
        tell({.title = title,
              .subject = subject,
              .unit = unit,
              .figure = spread_of(figures),
              .ratio = ratio_of(figures, yardstick),
              .aim = {}});
    }

    LargeFleet& fleet_;
    std::string what_;
    std::vector<Share> shares_{{"the origin", NatsRole::origin, 1, {}, {}, {}, {}},
                               {"a vault of 10 machines", NatsRole::vault, size.locations, {}, {}, {}, {}},
                               {"a machine", NatsRole::machine, all_machines, {}, {}, {}, {}}};
    Figures yardstick_, recorded_, median_, last_, servers_cpu_, parties_cpu_, between_, between_kilobytes_;
};

void tell_memory(LargeFleet& fleet) {
    const auto use = use_of(fleet.cluster().servers);
    constexpr auto title = "The servers' memory";
    const auto figure = [](double bytes) { return spread_of({bytes / 1e6}); };
    tell({title, "values, in each copy", "MB", figure(use.stored), {}, {}});
    tell({title, "resident, the largest server", "MB", figure(use.resident), {}, {}});
}

void measure() {
    LargeFleet fleet(size);
    BareLoop bare(fleet);
    for (unsigned i = 0; i < warm_up; ++i) {
        (void)fleet.begin_epoch();
        fleet.pulse().await_rest();
    }
    Turns epochs(fleet, "An epoch begins"), revisions(fleet, "A new revision"),
        idle(fleet, "A look, nothing new");
    const auto measured = [&](Turns& kind, LargeFleet::Reached (LargeFleet::*turn)()) {
        LargeFleet::Reached reached;
        kind.take([&] { reached = (fleet.*turn)(); });
        kind.note_times(reached, bare.run());
    };
    for (unsigned i = 0; i < turns; ++i)
        measured(epochs, &LargeFleet::begin_epoch);
    epochs.tell_times();
    epochs.tell_traffic();
    for (unsigned i = 0; i < looks; ++i)
        idle.take([&] { fleet.look(); });
    idle.tell_traffic();
    tell_memory(fleet);
    for (unsigned i = 0; i < turns; ++i) {
        measured(revisions, &LargeFleet::renew);
        for (unsigned k = 0; k < between_revisions; ++k) {
            (void)fleet.begin_epoch();
            fleet.pulse().await_rest();
        }
    }
    revisions.tell_times();
    revisions.tell_traffic();
}

}  // namespace

int main() {
    // Rings belong into memory; and how fast a disk is, is not measured here.
    ::setenv("TMPDIR", "/dev/shm", 1);
    measure();
    return 0;
}
