#include "daemon/control_client.hpp"
#include "daemon/state.hpp"
#include "daemon/status.hpp"

#include <nlohmann/json.hpp>

namespace stek::daemon {

Heard hear_stekd(const Config& config) {
    constexpr std::chrono::seconds patience{5};
    if (config.control.empty() || StateDirectory::holder(config.state) == 0)
        return {};
    try {
        const auto reply = ask_stekd(config.control, {{"do", "status"}}, patience);
        return {.health = health_from_json(reply.at("health")), .problem = {}};
    } catch (const std::exception& error) {
        return {.health = {}, .problem = std::string("stekd does not say how it is: ") + error.what()};
    }
}

}  // namespace stek::daemon
