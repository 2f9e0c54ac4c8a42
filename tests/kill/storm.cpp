#include "tests/kill/storm.hpp"

#include "tests/fixtures/shared_file.hpp"

#include <algorithm>
#include <csignal>
#include <map>
#include <thread>

#include <boost/test/unit_test.hpp>

using namespace std::chrono_literals;

namespace stek::test {
namespace {

Storm* current = nullptr;

// Short periods, so that there are many rotations; the ring has at most 256 records, ten of them ahead.
constexpr unsigned period = 1, session_timeout = 100, stale_epochs = 2, clients = 4;
constexpr auto patience = 30s;

std::chrono::milliseconds between(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(to - from);
}

}  // namespace

Storm::Storm()
    : memory(tests::make_shared_file<tests::AllocationControl>(workspace.path() / "memory")),
      stekd(period, session_timeout, {"--reader", "www-data", "--module", token.path()}),
      disk(workspace.subdirectory("disk"), "2m"),
      tokens(disk.take(stekd.directory / "tokens")) {
    disk.take(stekd.directory / "state");
    disk.take(stekd.directory / "run");
    std::signal(SIGPIPE, SIG_IGN);  // a server may close while we write
    current = this;
    start_stekd();
    ServerSetup setup{
        workspace.subdirectory("nginx"),
        stekd.directory / "openssl.cnf",
        pki.server("www", {"www.stek.test"}),
        pki.authority(),
        {{"LD_PRELOAD", STEK_ALLOCATION_LIBRARY}, {"STEK_ALLOCATION_FAULT", workspace.path() / "memory"}}};
    nginx.emplace(setup);
    nginx->start();
    ring.emplace(stekd.ring_file(), stale_epochs);
    load.emplace(pki, nginx->port(), clients);
    listener_ = std::jthread([this](const std::stop_token& stop) { listen(stop); });
}

Storm::~Storm() {
    load.reset();
    ring.reset();
    nginx.reset();
    stekd.daemon.reset();
    current = nullptr;
}

void Storm::start_stekd(const Environment& environment) {
    stekd_said_ += stekd.log();
    stekd_environment_ = environment;
    stekd.start(environment);
    if (!stekd.says("ready"))
        throw std::runtime_error("stekd is not ready:\n" + stekd.log());
}

void Storm::kill_stekd() {
    stekd.daemon->signal(SIGKILL);
    if (!stekd.daemon->wait(patience))
        throw std::runtime_error("a killed stekd lives");
}

void Storm::keep_stekd_running(std::chrono::milliseconds time) {
    const auto end = Clock::now() + time;
    while (Clock::now() < end) {
        if (!stekd.daemon->running()) {
            stekd_said_ += stekd.log();
            stekd.start(stekd_environment_);
        }
        std::this_thread::sleep_for(100ms);
    }
}

void Storm::expect_stekd_to_be_well() {
    const auto before = stekd.ring()->generation;
    const auto end = Clock::now() + patience;
    while (stekd.ring()->generation <= before && Clock::now() < end)
        keep_stekd_running(200ms);
    BOOST_TEST(stekd.ring()->generation > before, stekd.log());
}

void Storm::kill_master() {
    const auto orphans = nginx->workers();
    ::kill(nginx->master(), SIGKILL);
    std::this_thread::sleep_for(2s);
    const auto killed = casualties.kill_workers(orphans, nginx->port());
    nginx->start();
    casualties.nobody_served_since(killed);
}

// At once, for the journal's socket holds but a few lines that nobody has read.
void Storm::listen(const std::stop_token& stop) {
    std::size_t known = 0;
    while (!stop.stop_requested()) {
        const auto& all = journal_.entries();
        {
            const std::lock_guard lock(hearing_);
            for (; known < all.size(); ++known)
                heard_ += all[known];
        }
        journal_.wait(100ms);
    }
}

void Storm::listen_from_here() {
    const std::lock_guard lock(hearing_);
    heard_.clear();
    stekd_said_.clear();
}

std::string Storm::heard() const {
    const std::lock_guard lock(hearing_);
    return heard_;
}

bool Storm::workers_say(const std::string& text) {
    return eventually([&] { return heard().find(text) != std::string::npos; });
}

bool Storm::good(const Handshake& handshake) const {
    return handshake.ok && handshake.resumed && handshake.offered &&
           ring->seals_at(*handshake.offered, handshake.wall);
}

std::vector<Handshake> Storm::until_all_workers_are_back(Clock::time_point over,
                                                         std::chrono::milliseconds& back) {
    std::vector<Handshake> handshakes;
    std::map<pid_t, Clock::time_point> first;
    const bool all = eventually(
        [&] {
            for (auto& handshake : load->take()) {
                if (handshake.begun >= over && good(handshake))
                    first.try_emplace(handshake.worker, handshake.ended);
                handshakes.push_back(std::move(handshake));
            }
            const auto workers = nginx->workers();
            return workers.size() == 2 && std::ranges::all_of(workers, [&](pid_t worker) {
                       if (!first.contains(worker))
                           return false;
                       back = std::max(back, between(over, first.at(worker)));
                       return true;
                   });
        },
        patience);
    BOOST_TEST(all, "not all workers resume under the newest key again; workers and nginx say:\n"
                        << heard() << nginx->log());
    return handshakes;
}

void Storm::judge(const std::vector<Handshake>& handshakes, Tally& tally) const {
    for (const auto& handshake : handshakes) {
        if (handshake.ok) {
            ++tally.handshakes;
            tally.resumed += handshake.resumed ? 1 : 0;
        } else if (casualties.forgive(handshake)) {
            ++tally.died;
        } else {
            ++tally.failed;
            BOOST_ERROR("a connection from port " << handshake.local_port << " failed: " << handshake.error);
        }
    }
}

void Storm::event(const std::string& name, const std::function<void()>& happen) {
    Row row;
    row.event = name;
    const auto begun = Clock::now();
    happen();
    const auto handshakes = until_all_workers_are_back(Clock::now(), row.back);
    judge(handshakes, row.tally);
    auto last = begun;
    for (const auto& handshake : handshakes) {
        if (!good(handshake))
            continue;
        row.lost = std::max(row.lost, between(last, handshake.ended));
        last = std::max(last, handshake.ended);
    }
    row.lost = std::max(row.lost, between(last, Clock::now()));
    table.add(row);
}

Storm& storm() {
    return *current;
}

}  // namespace stek::test
