// What systemd knows of a unit, asked over the system bus.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace stek::daemon {

/// systemd does not run here, or does not answer; what() says which.
class SystemdSilent : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

struct UnitFacts {
    bool loaded = false;                   ///< there is such a unit
    bool changed = false;                  ///< its files were changed since systemd read them
    std::vector<std::string> environment;  ///< Environment=, "NAME=VALUE"
};

/// `unit` is a service's full name. Throws SystemdSilent.
UnitFacts ask_for_unit(const std::string& unit);

}  // namespace stek::daemon
