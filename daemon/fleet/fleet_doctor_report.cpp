// What doctor hears from a party's stekd of its roles: what FleetWork::add_to_status() says.
#include "daemon/control_client.hpp"
#include "daemon/fleet/fleet_doctor.hpp"

#include <chrono>

#include <nlohmann/json.hpp>

namespace stek::fleet {
namespace {

using daemon::Diagnosis;
using daemon::Site;
using nlohmann::json;

class Roles {
  public:
    Roles(Diagnosis& diagnosis, const FleetConfig& config, const Site& site)
        : diagnosis_(diagnosis),
          config_(config),
          site_(site),
          current_(config.policy.epoch_at(site.status.now.wall)) {}

    void look_at_origin(const json& origin) {
        const auto newest = origin.at("newest_epoch").get<std::uint64_t>();
        const auto without = origin.at("without_pre_key").get<std::size_t>();
        if (newest < current_)
            warn("origin", "there is no bundle of the current epoch, " + std::to_string(current_),
                 see_the_log());
        else
            diagnosis_.fine("origin", "bundles up to epoch " + std::to_string(newest) +
                                          "; the current one is " + std::to_string(current_));
        if (without > 0)
            warn("origin",
                 "vaults that leave no pre-keys: " + std::to_string(without) +
                     "; the last hourly key is sealed to their long-lived keys",
                 fleet_status() +
                     " names them: start their stekd, or, where the root key is: stekctl fleet "
                     "retire NAME");
    }

    void look_at_location(const json& location) {
        const auto last = location.at("last_epoch").get<std::uint64_t>();
        const auto machines = location.at("machines").get<std::size_t>();
        const auto pre_keys = location.at("pre_keys_left").get<std::size_t>();
        if (machines == 0)
            warn("location", "no machine of location " + config_.location->name + " is enrolled",
                 "at a machine: stekctl fleet enroll machine; then here: stekctl fleet approve --config " +
                     config_.file + " REQUEST");
        else if (last < current_)
            warn("location",
                 last == 0 ? "it has derived no key since it was started"
                           : "it is " + std::to_string(current_ - last) + " epochs behind the clock",
                 "see that an origin runs (" + fleet_status() + "), and " + see_the_log());
        else
            diagnosis_.fine("location", "keys up to epoch " + std::to_string(last) + " for " +
                                            std::to_string(machines) + " machines; " +
                                            std::to_string(pre_keys) + " pre-keys left");
        if (pre_keys == 0)
            warn("location", "it has no pre-keys left: hourly keys are sealed to its long-lived key",
                 see_the_log());
    }

  private:
    void warn(const char* subject, const std::string& what, const std::string& remedy) {
        diagnosis_.warn(subject, what, remedy);
    }
    [[nodiscard]] std::string fleet_status() const { return "stekctl fleet status --config " + config_.file; }
    [[nodiscard]] std::string see_the_log() const {
        return "the cause is in " + site_.log_command() + "; then: " + site_.restart_command();
    }

    Diagnosis& diagnosis_;
    const FleetConfig& config_;
    const Site& site_;
    std::uint64_t current_;
};

}  // namespace

// It is asked once more: what daemon/ keeps of the answer knows nothing of a fleet. Who is not ready yet, or
// does not answer, is diagnose_daemon()'s.
void diagnose_roles(Diagnosis& diagnosis, const FleetConfig& config, const Site& site) {
    if (!site.status.health || !site.status.health->ready)
        return;
    try {
        constexpr std::chrono::seconds patience{5};
        const auto reply = daemon::ask_stekd(config.control, {{"do", "status"}}, patience);
        const auto roles = reply.value("fleet", json::object());
        Roles of_party(diagnosis, config, site);
        if (roles.contains("origin"))
            of_party.look_at_origin(roles.at("origin"));
        if (roles.contains("location"))
            of_party.look_at_location(roles.at("location"));
    } catch (const std::exception& error) {
        diagnosis.note("fleet", std::string("stekd does not tell of its roles: ") + error.what());
    }
}

}  // namespace stek::fleet
