// The subcommands of stekctl, one file each.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace stek::daemon {

/// Adds one subcommand. Parsed, it puts what it does into `chosen`, which returns the exit code and may throw
/// what main() knows: WouldOverwrite, ConfigError, ControlError, AnotherStekd, PinRefused, pkcs11::UriError,
/// std::exception.
using Chosen = std::function<int()>;
void add_init(CLI::App& app, Chosen& chosen);
void add_status(CLI::App& app, Chosen& chosen);
void add_rotate(CLI::App& app, Chosen& chosen);
void add_revoke(CLI::App& app, Chosen& chosen);
void add_doctor(CLI::App& app, Chosen& chosen);

inline constexpr char default_config[] = "/etc/stekd/stekd.toml";

}  // namespace stek::daemon
