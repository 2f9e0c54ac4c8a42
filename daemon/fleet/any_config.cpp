#include "daemon/fleet/any_config.hpp"

#include "daemon/fleet/config.hpp"

namespace stek::fleet {

daemon::Config load_any_config(const std::string& file) {
    return is_fleet_config(file) ? common_config(load_fleet_config(file)) : daemon::load_config(file);
}

}  // namespace stek::fleet
