// `stekd --check`: finds what would keep stekd or its servers from working, before they do.
#pragma once

#include "daemon/config.hpp"

namespace stek::daemon {

/// Prints one line for each thing looked at. Returns exit_ok or exit_findings. While a stekd runs, the tokens
/// are looked at but nothing is made in them and nobody logs in: SoftHSM wants one writer.
int run_checks(const Config& config);

}  // namespace stek::daemon
