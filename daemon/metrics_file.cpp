#include "daemon/metrics_file.hpp"

#include "provider/file.hpp"

#include <sys/stat.h>

namespace stek::daemon {

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

}  // namespace stek::daemon
