// `stekctl fleet`: who belongs to a fleet, and how it does.
#pragma once

#include "daemon/commands.hpp"

#include <string>

namespace stek::fleet {

/// Adds `fleet` with all its subcommands to stekctl, as daemon::add_init() and its like do. What they choose
/// may also throw EnrolmentRefused, CeremonyRefused, FrameError, EngineError, daemon::AnotherStekd,
/// daemon::PinRefused.
void add_fleet(CLI::App& app, daemon::Chosen& chosen);

// One file each; they add themselves to `fleet`.
void add_fleet_init(CLI::App& fleet, daemon::Chosen& chosen);
void add_enroll(CLI::App& fleet, daemon::Chosen& chosen);
void add_approve(CLI::App& fleet, daemon::Chosen& chosen);
void add_retire(CLI::App& fleet, daemon::Chosen& chosen);
void add_fleet_status(CLI::App& fleet, daemon::Chosen& chosen);
void add_certify(CLI::App& fleet, daemon::Chosen& chosen);
void add_withdraw(CLI::App& fleet, daemon::Chosen& chosen);

/// --config of any of them.
void add_config_option(CLI::App& command, std::string& file);

}  // namespace stek::fleet
