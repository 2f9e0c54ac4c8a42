// The metrics as a file, for node_exporter's textfile collector.
#pragma once

#include "daemon/status.hpp"

#include <functional>

#include <systemd/sd-event.h>

namespace stek::daemon {

/// Replaces config.metrics by what is so now; mode 0644, a reader sees the old file or the new one. Nothing
/// if none is configured. Throws std::system_error.
void write_metrics(const Config& config, const Health& health);

/// Writes them on the service's event loop: when told to, and then every 15 s while a file is configured. In
/// the loop's thread.
class MetricsWriter {
  public:
    /// The functions are asked at each writing and must outlive this object, as the loop must.
    MetricsWriter(sd_event* loop, std::function<const Config&()> config, std::function<Health()> health);
    MetricsWriter(const MetricsWriter&) = delete;
    MetricsWriter& operator=(const MetricsWriter&) = delete;
    ~MetricsWriter();

    /// Trouble is logged once, not thrown: metrics must not keep keys from rotating.
    void write() noexcept;

  private:
    static int on_timer(sd_event_source*, std::uint64_t, void* self) noexcept;
    void rest();

    sd_event* loop_;
    std::function<const Config&()> config_;
    std::function<Health()> health_;
    sd_event_source* timer_ = nullptr;
    std::string last_trouble_;
};

}  // namespace stek::daemon
