#include "daemon/process_guard.hpp"

#include <cerrno>
#include <linux/capability.h>
#include <system_error>
#include <unistd.h>

#include <openssl/crypto.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

namespace stek::daemon {
namespace {

bool may_lock_without_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY)
        return true;
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct has[_LINUX_CAPABILITY_U32S_3]{};
    return ::syscall(SYS_capget, &header, has) == 0 && (has[0].effective & (1U << CAP_IPC_LOCK)) != 0;
}

}  // namespace

void guard_process() {
    const rlimit none{0, 0};
    // Where the kernel pipes core dumps to a program, the limit does not hold; PR_SET_DUMPABLE does.
    if (::setrlimit(RLIMIT_CORE, &none) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        throw std::system_error(errno, std::generic_category(), "cannot turn core dumps off");
}

void prepare_libcrypto() {
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, nullptr);
}

bool lock_memory() noexcept {
    // Under a limit, locking what comes in future would make some allocation fail that is none of a secret.
    return may_lock_without_limit() && ::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
}

}  // namespace stek::daemon
