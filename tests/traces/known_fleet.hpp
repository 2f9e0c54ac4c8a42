// A fleet whose keys the test knows: an origin whose token draws what the test knows, a vault whose first
// chain key it has put there, and a machine.
#pragma once

#include "daemon/fleet/bundle.hpp"
#include "daemon/fleet/engine.hpp"
#include "pkcs11/session.hpp"
#include "tests/fixtures/faulty_module.hpp"
#include "tests/fixtures/fleet_programs.hpp"
#include "tests/traces/known_schedule.hpp"
#include "tests/traces/stopped.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace stek::traces {

using fleet::KeyId;

class KnownFleet : public tests::FleetPrograms {
  public:
    /// o1, v1 and m1, as processes. The engine is a directory, or a NATS server on each of these. Two epochs,
    /// of 4 s, are over.
    explicit KnownFleet(const std::vector<tests::NatsHost>& nats_hosts = {});
    ~KnownFleet() override = default;

    static constexpr std::uint64_t ahead = 3;  ///< epochs that have bundles

    [[nodiscard]] const test::Process& process(const std::string& name) const { return *running_.at(name); }
    [[nodiscard]] fleet::Engine& opened_engine() { return *engine_; }
    /// Runs `act` in a process of its own, logged in to the vault's token.
    void in_vault(const std::function<void(pkcs11::Session&)>& act) const;
    /// All keys of all bundles that have been seen.
    [[nodiscard]] std::map<KeyId, Derivation> known() const;
    [[nodiscard]] Needles all_needles() const;
    /// Stops them all where nothing is left to do in the epoch of now, which is returned: the newest bundle
    /// is made and in use, the chain has moved. What is in the engine then has been seen.
    std::uint64_t stand_still(std::vector<std::unique_ptr<Stopped>>& stopped);

    tests::FaultyModule module{workspace.subdirectory("module")};

  private:
    void enrol();
    void learn();
    void learn(KeyId id, const fleet::Bundle& bundle);
    [[nodiscard]] std::string logs() const;

    std::uint64_t first_epoch_ = 0;
    std::map<KeyId, Key> hourlies_;
    std::map<std::string, std::unique_ptr<test::Process>> running_;
    std::unique_ptr<fleet::Engine> engine_;
};

/// A fleet at rest for as long as this lives.
struct AtRest {
    explicit AtRest(KnownFleet& fleet);
    /// What of all keys is in the memory of a party's process.
    [[nodiscard]] std::vector<std::string> in_memory_of(const std::string& party) const;

    KnownFleet& fleet;
    std::vector<std::unique_ptr<Stopped>> stopped;
    std::uint64_t epoch;
    Needles needles;
};

}  // namespace stek::traces
