#include "pkcs11/process.hpp"

#include <atomic>
#include <new>
#include <unistd.h>

#include <sys/mman.h>

namespace stek::pkcs11 {
namespace {

/// A page that reads as zero in a child: a zero means "ask the kernel".
std::atomic<pid_t>* wiped_on_fork() noexcept {
    const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    void* page = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return nullptr;
    }
    if (madvise(page, size, MADV_WIPEONFORK) != 0) {
        munmap(page, size);
        return nullptr;
    }
    return new (page) std::atomic<pid_t>(0);
}

}  // namespace

pid_t this_process() noexcept {
    static std::atomic<pid_t>* const known = wiped_on_fork();
    if (known == nullptr) {
        return getpid();
    }
    pid_t pid = known->load(std::memory_order_relaxed);
    if (pid == 0) {
        pid = getpid();
        known->store(pid, std::memory_order_relaxed);
    }
    return pid;
}

}  // namespace stek::pkcs11
