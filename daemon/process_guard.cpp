#include "daemon/process_guard.hpp"

#include <cerrno>
#include <system_error>

#include <sys/prctl.h>
#include <sys/resource.h>

namespace stek::daemon {

void guard_process() {
    const rlimit none{0, 0};
    // Where the kernel pipes core dumps to a program, the limit does not hold; PR_SET_DUMPABLE does.
    if (::setrlimit(RLIMIT_CORE, &none) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        throw std::system_error(errno, std::generic_category(), "cannot turn core dumps off");
}

}  // namespace stek::daemon
