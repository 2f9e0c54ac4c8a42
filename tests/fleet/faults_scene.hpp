// What the faults of this suite happen to: a fleet of two locations under load, whose clients resume wherever
// they can. Made once for the program.
#pragma once

#include "tests/fleet/fleet.hpp"
#include "tests/kill/load.hpp"

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace stek::tests {

inline constexpr unsigned faults_period = 4, faults_session_timeout = 60;  // seconds

class FaultsScene {
  public:
    /// Two origins; fra1 with two vaults, ams1 with one; two machines at each.
    explicit FaultsScene(const std::string& disk = "", std::int64_t ago = 0);
    FaultsScene(unsigned period, unsigned session_timeout, std::vector<std::string> origins,
                std::vector<Site> sites, const std::string& disk = "", std::int64_t ago = 0,
                const std::vector<NatsHost>& nats_hosts = {})
        : fleet(period, session_timeout, std::move(origins), std::move(sites), disk, ago, nats_hosts) {}

    /// With a server for the machine, if there is none, and clients for it.
    void start_load(const std::string& machine);
    /// Its server may be stopped then.
    void stop_load(const std::string& machine);

    /// Each handshake that has ended since the last call went well. How many resumed.
    std::size_t check_handshakes();
    /// Everybody runs, gets keys that nobody has made before, and resumes what is another machine's of the
    /// location; and up to here no handshake has failed.
    void expect_healed();
    void let_epochs_pass(std::uint64_t epochs) const;
    /// Of a machine's ring.
    [[nodiscard]] std::map<daemon::KeyId, KeyName> names_in(const std::string& machine) const;
    /// What was there and is there still is the same key.
    void check_names(const std::string& machine, const std::map<daemon::KeyId, KeyName>& before) const;

    Fleet fleet;

  private:
    void judge(const std::string& machine);
    std::map<std::string, std::unique_ptr<test::Load>> loads_;
    std::map<std::string, bool> has_server_;
    std::size_t handshakes_ = 0, resumed_ = 0;  ///< since the beginning
};

/// What the parties say from now on.
class Ears {
  public:
    explicit Ears(const Fleet& fleet);
    /// One of them, sooner or later.
    [[nodiscard]] bool hear(const std::vector<std::string>& parties, const std::string& text) const;

  private:
    const Fleet* fleet_;
    std::map<std::string, std::size_t> before_;  ///< sizes of logs
};

}  // namespace stek::tests
