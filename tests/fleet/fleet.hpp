// A fleet with its servers: each party's stekd as a process on a host of its own, and Debian's nginx beside
// each machine's.
#pragma once

#include "daemon/fleet/engine.hpp"
#include "daemon/fleet/known_lists.hpp"
#include "daemon/plan.hpp"
#include "provider/key_ring.hpp"
#include "tests/fixtures/fleet_programs.hpp"
#include "tests/fixtures/nginx.hpp"
#include "tests/fixtures/pki.hpp"
#include "tests/fixtures/tls_client.hpp"
#include "tests/kill/small_disk.hpp"

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace stek::tests {

/// On a machine with two processors and a dozen tests at once: for what comes by itself.
inline constexpr std::chrono::seconds patience(180);

/// For a process: its wall clock alone.
inline test::Environment clock_off_by(std::int64_t seconds) {
    return {{"LD_PRELOAD", STEK_WRONG_CLOCK}, {"STEK_CLOCK_OFF", std::to_string(seconds)}};
}

struct Site {
    std::string name;
    std::vector<std::string> vaults, machines;
};

class Fleet : public FleetPrograms {
  public:
    /// Enrolled and approved by stekctl, a location with several vaults by way of its ceremony. Nothing runs.
    /// With `disk`, the engine's directory is on one of its own of that size (SmallDisk). All that is `ago`
    /// seconds before now. With `nats_hosts`, the engine is NATS servers on these.
    Fleet(unsigned period, unsigned session_timeout, std::vector<std::string> origins,
          std::vector<Site> sites, const std::string& disk = "", std::int64_t ago = 0,
          const std::vector<NatsHost>& nats_hosts = {});
    ~Fleet() override = default;

    void enrol_machine(const std::string& machine, const Site& site);

    // --- stekd, by the party's name ---
    void start(const std::string& name, const test::Environment& environment = {});
    void start_all();
    void stop(const std::string& name);  ///< with SIGTERM
    void kill(const std::string& name);  ///< with SIGKILL
    [[nodiscard]] bool runs(const std::string& name) const;
    /// Since it was last started.
    [[nodiscard]] bool is_ready(const std::string& name) const;
    /// What it has said since the test began.
    [[nodiscard]] std::string log(const std::string& name) const;
    [[nodiscard]] std::string logs() const;  ///< everybody's end, for messages
    [[nodiscard]] bool says(const std::string& name, const std::string& text) const {
        return log(name).find(text) != std::string::npos;
    }

    // --- keys ---
    /// What a machine's servers see; null if there is none.
    [[nodiscard]] std::shared_ptr<const KeyRing> ring(const std::string& machine) const;
    /// Of its ring, that seals now or soon.
    [[nodiscard]] std::uint64_t newest_epoch(const std::string& machine) const;
    /// Its servers have a key of the current epoch.
    [[nodiscard]] bool is_well(const std::string& machine) const;
    /// Everybody is.
    [[nodiscard]] bool all_well() const;
    /// Of the bundles in the engine.
    [[nodiscard]] std::uint64_t newest_bundle() const;
    /// Waits until these machines have keys that nobody has made yet.
    void expect_new_keys(const std::vector<std::string>& machines) const;
    [[nodiscard]] std::uint64_t epoch_now() const;
    [[nodiscard]] daemon::Policy policy() const { return {period_, session_timeout_}; }

    // --- the engine, as everybody sees it ---
    [[nodiscard]] std::unique_ptr<fleet::Engine> open_engine() const;
    [[nodiscard]] fleet::Point root() const;
    /// The newest lists; with the location's if it is given.
    [[nodiscard]] fleet::KnownLists lists(const std::string& location = "") const;

    // --- servers ---
    void start_server(const std::string& machine);
    void start_servers();
    [[nodiscard]] test::Nginx& server(const std::string& machine) const { return *servers_.at(machine); }
    /// A connection that must go well, offering the session, if there is one.
    test::Connection connect(const std::string& machine, int version, const test::SessionPtr& session = {});
    /// Whether a fresh ticket of the one resumes at the other; both connections must go well.
    bool resumes(const std::string& from, const std::string& to, int version);

    // --- theft ---
    /// Copies all that a party has on its host (tokens, PINs, state, ring) to a directory. It must not run:
    /// SoftHSM writes its files in place. Returns the copy's configuration.
    [[nodiscard]] std::string steal(const std::string& name, const std::string& to) const;

    [[nodiscard]] const std::vector<Site>& sites() const noexcept { return sites_; }
    [[nodiscard]] const Site& site(const std::string& name) const;
    [[nodiscard]] std::vector<std::string> machines() const;
    [[nodiscard]] std::vector<std::string> parties() const;
    [[nodiscard]] std::string host(const std::string& name) const { return in(name + ".host"); }

    /// What a party's stekd begins with that runs on another host: the network there; its files are here.
    std::map<std::string, Arguments> on;
    std::optional<test::SmallDisk> disk;
    test::Pki pki;

  protected:
    void hand_over(TestToken& token, const std::string& party) override;
    [[nodiscard]] std::string module_config(const std::string& party) const override {
        return host(party) + "/softhsm2.conf";
    }

  private:
    void hold_ceremony(const Site& site);
    [[nodiscard]] std::string write_openssl_conf(const std::string& machine, const std::string& location);

    unsigned period_, session_timeout_;
    std::vector<std::string> origins_;
    std::vector<Site> sites_;
    test::Identity www_;
    test::TlsClient client_;
    std::map<std::string, std::string> openssl_confs_;
    std::map<std::string, std::unique_ptr<test::Nginx>> servers_;
    std::map<std::string, unsigned> starts_;
    std::map<std::string, std::unique_ptr<test::Process>> running_;
};

inline constexpr int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

}  // namespace stek::tests
