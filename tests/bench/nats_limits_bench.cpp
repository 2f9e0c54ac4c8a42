// Where one NATS server comes to its limits in a large fleet: names listed from a large location's bucket,
// the memory that its values take, and a grants.conf of many parties read at the start and anew. Wall time.
#include "daemon/fleet/engine_keys.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "tests/bench/nats_traffic.hpp"
#include "tests/bench/results.hpp"
#include "tests/fixtures/nats_cluster.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <stdexcept>
#include <thread>

using namespace stek;
using namespace stek::fleet;
using namespace stek::tests;

namespace {

using std::chrono::steady_clock;
using Figures = std::vector<double>;

constexpr char location[] = "large";
constexpr unsigned machines = 1000, record_size = 900, rounds = 11;
constexpr std::uint64_t first_epoch = 500'000;
const NatsParty root{NatsRole::root, "root", ""}, vault{NatsRole::vault, "vault-1", location};

double milliseconds_of(const std::function<void()>& work) {
    const auto begun = steady_clock::now();
    work();
    return std::chrono::duration<double, std::milli>(steady_clock::now() - begun).count();
}

void tell_as(const char* title, const std::string& subject, const char* unit, Figures figures) {
    tell({title, subject, unit, spread_of(std::move(figures)), {}, {}});
}

std::string machine(unsigned number) {
    return "web-" + std::to_string(number);
}

// --- a large bucket ---

void tell_list(Engine& engine, const std::string& subjects) {
    Figures all, own;
    for (unsigned i = 0; i < rounds; ++i) {
        all.push_back(
            milliseconds_of([&] { (void)engine.list(bucket::of_location(location), all_records); }));
        own.push_back(milliseconds_of(
            [&] { (void)engine.list(bucket::of_location(location), records_of(machine(machines / 2))); }));
    }
    constexpr char title[] = "Names listed by STREAM.INFO";
    tell_as(title, "all of " + subjects + " subjects", "ms", all);
    tell_as(title, "one machine's of " + subjects + " subjects", "ms", own);
}

void measure_a_large_bucket() {
    NatsCluster cluster(1, {access_of(root), access_of(vault)});
    const auto engine = make_nats_engine(cluster.settings({cluster.member(vault), cluster.member(root)}));
    engine->prepare({bucket::of_location(location)});
    const auto before = use_of(cluster.servers);
    const std::vector<std::uint8_t> record(record_size, 0x5a);
    Figures puts;
    std::uint64_t epoch = first_epoch;
    const auto fill_epoch = [&] {
        puts.push_back(
            milliseconds_of([&] {
                for (unsigned i = 0; i < machines; ++i)
                    engine->put(bucket::of_location(location), record_key(machine(i), {epoch, 0}), record);
            }) /
            machines);
        ++epoch;
    };
    for (const unsigned epochs : {6, 24}) {
        while (epoch < first_epoch + epochs)
            fill_epoch();
        tell_list(*engine, std::to_string(epochs * machines));
    }
    const auto now = use_of(cluster.servers);
    const double values = machines * static_cast<double>(epoch - first_epoch);
    constexpr char title[] = "A value of 900 bytes in a server's memory";
    tell_as(title, "as JetStream counts it", "bytes", {(now.stored - before.stored) / values});
    tell_as(title, "resident", "bytes", {(now.resident - before.resident) / values});
    tell_as("A value stored, one server, one after the other", "put()", "ms", puts);
}

// --- a large grants.conf ---

std::vector<NatsAccess> parties(unsigned count) {
    std::vector<NatsAccess> all{access_of(root), access_of(vault)};
    for (unsigned i = 0; i < count; ++i)
        all.push_back(access_of({NatsRole::machine, machine(i), location}));
    return all;
}

/// The longest that one who reads all along waits while `change` is made and taken up.
double longest_wait(Engine& engine, const std::function<void()>& change) {
    std::atomic<bool> ends{false};
    double longest = 0;
    std::thread reader([&] {
        while (!ends)
            longest = std::max(longest, milliseconds_of([&] {
                                   (void)engine.get(bucket::of_location(location), KnownLists::machines_key);
                               }));
    });
    change();
    ends = true;
    reader.join();
    return longest;
}

void measure_grants(unsigned count) {
    constexpr char reloaded[] = "Reloaded server configuration";
    NatsCluster cluster(1, parties(count));
    const auto engine = make_nats_engine(cluster.settings({cluster.member(vault), cluster.member(root)}));
    engine->prepare({bucket::of_location(location)});
    Figures starts, reloads, waits;
    const auto reload = [&] {
        const auto lines_before = cluster.servers.log(0).size();
        cluster.servers.reload();
        if (!test::eventually(
                [&] { return cluster.servers.log(0).find(reloaded, lines_before) != std::string::npos; },
                std::chrono::minutes(2)))
            throw std::runtime_error("nats-server does not reload");
    };
    cluster.grant(parties(count + 1));
    for (unsigned i = 0; i < 3; ++i)
        waits.push_back(longest_wait(*engine, [&] { reloads.push_back(milliseconds_of(reload)); }));
    const double resident = use_of(cluster.servers).resident;
    for (unsigned i = 0; i < 3; ++i) {
        cluster.servers.stop(0);
        starts.push_back(milliseconds_of([&] { cluster.servers.start(0); }));
    }
    const auto title = "A grants.conf of " + std::to_string(count) + " machines";
    tell_as(title.c_str(), "the server's start", "ms", starts);
    tell_as(title.c_str(), "read anew (SIGHUP)", "ms", reloads);
    tell_as(title.c_str(), "meanwhile, the longest get() of another party", "ms", waits);
    tell_as("The server's memory with it", std::to_string(count) + " machines", "MB", {resident / 1e6});
}

}  // namespace

int main() {
    ::setenv("TMPDIR", "/dev/shm", 1);
    measure_a_large_bucket();
    for (const unsigned count : {3'000, 30'000})
        measure_grants(count);
    return 0;
}
