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

class FaultsScene {
  public:
    FaultsScene(unsigned period, unsigned session_timeout, std::vector<std::string> origins,
                std::vector<Site> sites, const std::string& disk = "", std::int64_t ago = 0)
        : fleet(period, session_timeout, std::move(origins), std::move(sites), disk, ago) {}

    /// With a server for the machine, if there is none, and clients for it.
    void start_load(const std::string& machine);
    /// Its server may be stopped then.
    void stop_load(const std::string& machine);

    /// Each handshake that has ended since the last call went well. How many resumed.
    std::size_t check_handshakes();
    /// Everybody runs, gets keys that nobody has made before, and resumes what is another machine's of the
    /// location; and up to here no handshake has failed.
    void expect_healed();

    Fleet fleet;

  private:
    void judge(const std::string& machine);
    std::map<std::string, std::unique_ptr<test::Load>> loads_;
    std::map<std::string, bool> has_server_;
    std::size_t handshakes_ = 0, resumed_ = 0;  ///< since the beginning
};

}  // namespace stek::tests
