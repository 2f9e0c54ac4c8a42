#include "daemon/fleet/ask_for_machines.hpp"

#include "daemon/control_client.hpp"
#include "daemon/fleet/list_changes.hpp"

#include <iostream>

#include <nlohmann/json.hpp>

namespace stek::fleet {

nlohmann::json ask_for_machines(const FleetConfig& config, const nlohmann::json& order) {
    auto reply = daemon::ask_stekd(config.control, order);
    if (const auto why = reply.find("declined"); why != reply.end())
        throw EnrolmentRefused(why->get<std::string>());
    if (const auto warning = reply.find("warning"); warning != reply.end())
        std::cerr << "stekctl: " << warning->get<std::string>() << '\n';
    return reply;
}

}  // namespace stek::fleet
