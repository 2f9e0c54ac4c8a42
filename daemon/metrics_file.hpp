// The metrics as a file, for node_exporter's textfile collector.
#pragma once

#include "daemon/status.hpp"

namespace stek::daemon {

/// Replaces config.metrics by what is so now; mode 0644, a reader sees the old file or the new one. Nothing
/// if none is configured. Throws std::system_error.
void write_metrics(const Config& config, const Health& health);

}  // namespace stek::daemon
