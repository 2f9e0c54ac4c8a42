// What the events of this suite happen to: stekd with its files on a small disk, nginx with two workers,
// clients that never rest, and eyes on the ring. Made once for the program.
#pragma once

#include "tests/fixtures/faulty_module.hpp"
#include "tests/fixtures/journal_catcher.hpp"
#include "tests/fixtures/nginx.hpp"
#include "tests/fixtures/pki.hpp"
#include "tests/kill/allocation_fault.hpp"
#include "tests/kill/casualties.hpp"
#include "tests/kill/load.hpp"
#include "tests/kill/ring_watch.hpp"
#include "tests/kill/small_disk.hpp"
#include "tests/kill/table.hpp"
#include "tests/token/stekd_instance.hpp"

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace stek::test {

class Storm {
  public:
    Storm();
    Storm(const Storm&) = delete;
    Storm& operator=(const Storm&) = delete;
    ~Storm();

    /// Lets it happen, waits until each worker resumes under the newest key again, and adds a row. Each
    /// connection that failed is an error of the test, unless its server was killed.
    void event(const std::string& name, const std::function<void()>& happen);

    /// Starts stekd and waits until it has a ring in place and has looked at the token. The one before must
    /// be gone.
    void start_stekd(const Environment& environment = {});
    void kill_stekd();
    /// For that time, as systemd does it: if it ends, it is started again.
    void keep_stekd_running(std::chrono::milliseconds time);
    /// It runs, and has made a key since.
    void expect_stekd_to_be_well();
    /// All that it said since then.
    [[nodiscard]] std::string stekd_says() const { return stekd_said_ + stekd.log(); }
    void kill_workers(const std::vector<pid_t>& pids) { casualties.kill_workers(pids, nginx->port()); }
    /// kill -9 of the master; its workers serve on for a while; then those too, and a new nginx.
    void kill_master();
    /// Whether a worker says this in the journal, from now on, within a time.
    void listen_from_here();
    [[nodiscard]] bool workers_say(const std::string& text);
    [[nodiscard]] std::string heard() const;  ///< all of it

    Workspace workspace{"storm"};
    tests::FaultyModule token{workspace.subdirectory("module")};
    tests::AllocationControl* memory;  ///< nginx's; never null
    StekdInstance stekd;
    SmallDisk disk;
    std::filesystem::path tokens;  ///< on the disk
    Pki pki{workspace.subdirectory("pki")};
    Casualties casualties;
    Table table;
    std::optional<Nginx> nginx;
    std::optional<RingWatch> ring;
    std::optional<Load> load;

  private:
    void listen(const std::stop_token& stop);
    [[nodiscard]] bool good(const Handshake& handshake) const;
    [[nodiscard]] std::vector<Handshake> until_all_workers_are_back(Clock::time_point over,
                                                                    std::chrono::milliseconds& back);
    void judge(const std::vector<Handshake>& handshakes, Tally& tally) const;
    tests::JournalCatcher journal_{workspace.subdirectory("journal")};
    std::string heard_;
    mutable std::mutex hearing_;
    std::string stekd_said_;  ///< those that have ended
    Environment stekd_environment_;
    std::jthread listener_;  // last: it uses the others
};

Storm& storm();

}  // namespace stek::test
