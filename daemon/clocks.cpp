#include "daemon/clocks.hpp"

#include <ctime>

namespace stek::daemon {

Now read_clocks() {
    timespec wall{}, boot{};
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    return {wall.tv_sec, static_cast<std::uint64_t>(boot.tv_sec)};
}

}  // namespace stek::daemon
