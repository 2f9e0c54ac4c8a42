#include "daemon/metrics_file.hpp"

#include "daemon/log.hpp"
#include "provider/file.hpp"

#include <system_error>

#include <sys/stat.h>

namespace stek::daemon {
namespace {

constexpr std::uint64_t interval = 15'000'000, accuracy = 1'000'000;  // microseconds

void must(int result) {
    if (result < 0)
        throw std::system_error(-result, std::generic_category(), "metrics timer");
}

}  // namespace

void write_metrics(const Config& config, const Health& health) {
    if (config.metrics.empty())
        return;
    const auto text = status_prometheus(gather_status(config, {.health = health, .problem = {}}));
    replace_file(config.metrics, Bytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()),
                 [&](int fd) {
                     constexpr mode_t all_read = 0644;
                     if (::fchmod(fd, all_read) != 0)
                         throw_errno("cannot set the mode of", config.metrics);
                 });
}

MetricsWriter::MetricsWriter(sd_event* loop, std::function<const Config&()> config,
                             std::function<Health()> health)
    : loop_(loop), config_(std::move(config)), health_(std::move(health)) {}

MetricsWriter::~MetricsWriter() {
    sd_event_source_disable_unref(timer_);
}

void MetricsWriter::write() noexcept {
    std::string trouble;
    try {
        rest();
        write_metrics(config_(), health_());
    } catch (const std::exception& error) {
        trouble = error.what();
    }
    if (!trouble.empty() && trouble != last_trouble_)
        log(LOG_WARNING, "no metrics: " + trouble);
    last_trouble_ = std::move(trouble);
}

void MetricsWriter::rest() {
    if (config_().metrics.empty()) {
        timer_ = sd_event_source_disable_unref(timer_);
        return;
    }
    if (timer_ == nullptr) {
        must(sd_event_add_time_relative(loop_, &timer_, CLOCK_BOOTTIME, interval, accuracy, on_timer, this));
        return;
    }
    must(sd_event_source_set_time_relative(timer_, interval));
    must(sd_event_source_set_enabled(timer_, SD_EVENT_ONESHOT));
}

int MetricsWriter::on_timer(sd_event_source*, std::uint64_t, void* self) noexcept {
    static_cast<MetricsWriter*>(self)->write();
    return 0;
}

}  // namespace stek::daemon
