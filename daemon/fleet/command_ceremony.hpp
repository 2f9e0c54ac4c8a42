// `stekctl fleet ceremony`: the vaults of a location get the same chain key (see ceremony.hpp).
#pragma once

#include "daemon/commands.hpp"

#include <string>
#include <vector>

namespace stek::fleet {

/// Adds `ceremony` with offer, make and take to `stekctl fleet`, as daemon::add_init() and its like do to
/// stekctl. What it chooses may also throw CeremonyRefused, FrameError, EngineError, daemon::AnotherStekd,
/// daemon::PinRefused.
void add_ceremony(CLI::App& fleet, daemon::Chosen& chosen);

/// The three steps; `config`: stekd.toml of the vault's party. All print what comes next, return the exit
/// code and throw as above, WouldOverwrite before anything is made.
int ceremony_offer(const std::string& config, const std::string& out);
int ceremony_make(const std::string& config, const std::vector<std::string>& offers,
                  const std::string& out_directory);
int ceremony_take(const std::string& config, const std::string& share);

}  // namespace stek::fleet
