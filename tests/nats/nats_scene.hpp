// A fleet under load whose engine is NATS servers that things happen to.
#pragma once

#include "tests/fleet/faults_scene.hpp"

#include <string>
#include <vector>

namespace stek::tests {

class NatsScene : public FaultsScene {
  public:
    /// Two origins, o1 and o2.
    NatsScene(std::vector<Site> sites, const std::vector<NatsHost>& hosts)
        : FaultsScene(faults_period, faults_session_timeout, {"o1", "o2"}, std::move(sites), "", 0, hosts) {}

    void start_all();
    /// Everybody has keys that nobody has made before within 30 s from now, and is well in all other regards;
    /// no two bundles are of one epoch and revision.
    void expect_healed_in_time(const std::string& after);

  private:
    void check_one_bundle_each() const;
};

}  // namespace stek::tests
