// A fleet of many locations and machines in one process, on real NATS servers: each party with its own
// certificate, connection, files and thread. Tokens are in memory, for SoftHSM would only measure how RSA
// pairs are made; all machines' pairs have one public key.
#pragma once

#include "daemon/fleet/bundle_store.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/fleet/location.hpp"
#include "daemon/fleet/machine.hpp"
#include "daemon/fleet/origin.hpp"
#include "tests/bench/noting_engine.hpp"
#include "tests/bench/waiting_party.hpp"
#include "tests/fixtures/nats_cluster.hpp"
#include "tests/fixtures/small_fleet.hpp"

#include <atomic>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace stek::tests {

class LargeFleet {
  public:
    struct Size {
        unsigned locations, machines;  ///< in all, and at each location
    };
    /// Starts servers and parties, and returns when all have the keys of the current epoch and those ahead.
    explicit LargeFleet(Size size);
    LargeFleet(const LargeFleet&) = delete;
    LargeFleet& operator=(const LargeFleet&) = delete;
    ~LargeFleet();

    struct Reached {
        Moment published, recorded;    ///< by the origin; by the last vault for its last machine
        std::vector<Moment> in_place;  ///< in each machine's ring file
    };
    /// The next epoch begins: all parties run at once, and the origin makes the key of the last one ahead.
    Reached begin_epoch();
    /// An order to the origin: another revision of each epoch. What is told is the current one's.
    Reached renew();
    /// All parties look, and there is nothing new.
    void look();

    [[nodiscard]] Size size() const noexcept { return size_; }
    [[nodiscard]] NatsCluster& cluster() noexcept { return *cluster_; }
    [[nodiscard]] Pulse& pulse() noexcept { return pulse_; }
    /// Of what the last key was: a bundle, and a machine's record.
    [[nodiscard]] std::size_t bundle_size(), record_size();
    /// Who stores and reads in a bucket of his own, which is there.
    [[nodiscard]] const fleet::NatsMember& bystander() const noexcept { return *bystander_; }
    static constexpr char bystanders_location[] = "bystander";
    static constexpr unsigned servers = 3;

  private:
    class Clock;
    struct OriginAtWork;
    struct VaultAtWork;
    struct MachineAtWork;

    [[nodiscard]] std::unique_ptr<fleet::Engine> open(const fleet::NatsMember& member) const;
    void make_buckets(const std::vector<std::string>& buckets);
    /// To be done with each party at work.
    template <class Act>
    void each(const Act& act);
    void order_all();
    Reached await(daemon::KeyId key);
    static Moment await(const Moments& moments, daemon::KeyId key, Moment until);

    Size size_;
    test::Workspace workspace_{"large-fleet"};
    Pulse pulse_;
    SmallFleet fleet_;
    std::unique_ptr<Clock> clock_;
    std::unique_ptr<NatsCluster> cluster_;
    std::unique_ptr<fleet::Engine> root_;
    std::optional<fleet::NatsMember> bystander_;
    std::unique_ptr<OriginAtWork> origin_;
    std::list<VaultAtWork> vaults_;
    std::list<MachineAtWork> machines_;
    daemon::KeyId last_;
};

}  // namespace stek::tests
