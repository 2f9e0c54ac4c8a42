// What a ring of 1 to 256 records costs: reading it, the first tickets after it has changed, and each ticket.
#include "provider/key_ring.hpp"
#include "tests/bench/libssl_tickets.hpp"
#include "tests/bench/rounds.hpp"
#include "tests/bench/side.hpp"
#include "tests/fixtures/known_ring.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <thread>

using namespace stek;
using namespace stek::tests;

namespace {

constexpr std::array<unsigned, 5> sizes{1, 4, 16, 64, 256};
constexpr unsigned rounds = 21;
constexpr unsigned per_round = 500;
constexpr unsigned changes = 11;
/// A process that meets a name that it does not know looks at the ring again, if it has not for this long.
constexpr std::chrono::milliseconds until_it_looks_again(120);

/// A ring of the first so many records, in two versions: the oldest record is in all of them.
std::string ring_file(const KnownRing& ring, unsigned records, unsigned version = 0) {
    return ring.path() + "-" + std::to_string(records) + (version == 0 ? "" : "-changed");
}

void write_rings(KnownRing& ring) {
    for (unsigned records = 1; records <= sizes.back(); ++records) {
        ring.add_current();
        if (std::ranges::find(sizes, records) != sizes.end()) {
            for (const unsigned version : {0, 1}) {
                std::filesystem::copy_file(ring.path(), ring_file(ring, records, version));
                ring.write();  // another generation
            }
        }
    }
}

/// A worker in whose ring are so many records, and in whose token session as many keys.
class Worker {
  public:
    Worker(const KnownRing& known, unsigned records)
        : live_(ring_file(known, records) + ".live"),
          versions_{ring_file(known, records, 0), ring_file(known, records, 1)} {
        std::filesystem::copy_file(ring_file(known, 1), live_,
                                   std::filesystem::copy_options::overwrite_existing);
        const auto conf = "openssl-" + std::to_string(records) + ".cnf";
        tickets_ = std::make_unique<LibsslTickets>(
            known.write_conf(known.section({{"attach", "yes"}, {"keyring", live_}}), conf));
        under_oldest_ = tickets_->seal();
        change_ring();
        meet_changed_ring();
        // The callback takes a key when it meets its name; that the rest is no ticket shows afterwards.
        const auto ring = read_ring_file(live_);
        for (const auto& record : ring->records) {
            std::vector<std::uint8_t> named(under_oldest_.size());
            std::copy(record->name.begin(), record->name.end(), named.begin());
            tickets_->open(named);
        }
        under_newest_ = tickets_->seal();
    }

    void seal() { static_cast<void>(tickets_->seal()); }
    void open_oldest() { open(under_oldest_); }
    void open_newest() { open(under_newest_); }
    void change_ring() {
        std::filesystem::copy_file(versions_[++changes_ % 2], live_ + ".new");
        std::filesystem::rename(live_ + ".new", live_);
        std::this_thread::sleep_for(until_it_looks_again);
    }
    /// The ticket of an unknown key, for which the ring is read again, and the next ticket.
    void meet_changed_ring() {
        tickets_->open(std::vector<std::uint8_t>(under_oldest_.size()));
        seal();
    }

  private:
    void open(const std::vector<std::uint8_t>& ticket) {
        if (!tickets_->open(ticket)) {
            throw std::runtime_error("a ticket did not open");
        }
    }
    const std::string live_;
    const std::array<std::string, 2> versions_;
    std::unique_ptr<LibsslTickets> tickets_;
    std::vector<std::uint8_t> under_oldest_, under_newest_;
    unsigned changes_ = 0;
};

std::string name_of(unsigned size) {
    return std::to_string(size) + (size == 1 ? " record" : " records");
}

/// Each size in a process of its own, for one provider attaches to a process. Of each thing, `before` is not
/// measured.
void compare(const KnownRing& ring, const std::string& title, unsigned in_rounds, unsigned count,
             void (Worker::*work)(), void (Worker::*before)() = nullptr) {
    std::vector<std::unique_ptr<Side>> sides;
    std::vector<Contender> contenders;
    for (const unsigned size : sizes) {
        sides.push_back(std::make_unique<Side>([&ring, size, work, before]() -> Side::Answer {
            const auto worker = std::make_shared<Worker>(ring, size);
            const auto measured = by_cpu_time([=](unsigned n) {
                for (unsigned i = 0; i < n; ++i) {
                    ((*worker).*work)();
                }
            });
            if (before == nullptr) {
                return measured;
            }
            return [=](unsigned n) {
                double sum = 0;
                for (unsigned i = 0; i < n; ++i) {
                    ((*worker).*before)();
                    sum += measured(1);
                }
                return sum / n;
            };
        }));
        contenders.push_back(
            {name_of(size), [side = sides.back().get()](unsigned n) { return side->ask(n); }});
    }
    measure(contenders, in_rounds, count);
    tell_all(title, contenders);
}

void compare_reading(const KnownRing& ring) {
    std::vector<Contender> contenders;
    for (const unsigned size : sizes) {
        contenders.push_back({name_of(size), by_cpu_time([path = ring_file(ring, size), size](unsigned n) {
                                  for (unsigned i = 0; i < n; ++i) {
                                      if (read_ring_file(path)->records.size() != size) {
                                          throw std::runtime_error("not the ring that was written");
                                      }
                                  }
                              })});
    }
    measure(contenders, rounds, 20);
    tell_all("Reading a ring file, CPU time", contenders);
}

}  // namespace

int main() {
    KnownRing ring;
    write_rings(ring);
    compare_reading(ring);
    compare(ring, "The first ticket after the ring has changed, CPU time", changes, 1,
            &Worker::meet_changed_ring, &Worker::change_ring);
    compare(ring, "Sealing as libssl sees it, CPU time, by records", rounds, per_round, &Worker::seal);
    compare(ring, "Opening under the newest key, CPU time, by records", rounds, per_round,
            &Worker::open_newest);
    compare(ring, "Opening under the oldest key, CPU time, by records", rounds, per_round,
            &Worker::open_oldest);
    return 0;
}
