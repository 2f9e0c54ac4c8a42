// fleet_status_sample [bare]: prints a made-up fleet's status, or that of one of which nothing is known, as
// JSON, for other programs to judge.
#include "daemon/fleet/fleet_status.hpp"

#include <iostream>

int main(int argc, char**) {
    using namespace stek::fleet;
    FleetStatus status;
    status.now = 1'800'000'000;
    status.epoch = 500'000;
    status.engine = "directory /srv/stek/fleet";
    status.problems = {"no list of this fleet is to be had: nobody is known to be enrolled"};
    if (argc < 2) {
        status.serial = 7;
        status.signed_at = 1'799'000'000;
        status.newest_bundle = {500'003, 1};
        status.origins = {{"o1", 500'003}, {"o2", {}}};
        status.locations.push_back({"fra1", 500'003, 0, {{"v1", 4}, {"v2", 0}}, {{"web1", 500'003, true}}});
        status.locations.push_back({"ams.1", {}, 0, {{"v3", 5}}, {{"web2", {}, false}}});
    }
    std::cout << fleet_status_json(status);
}
