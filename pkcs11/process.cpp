#include "pkcs11/process.hpp"

#include <atomic>
#include <new>
#include <unistd.h>

#include <sys/mman.h>

namespace stek::pkcs11 {
namespace {

using AtomicNumber = std::atomic<ProcessNumber>;

/// A page that reads as zero in a child.
AtomicNumber* wiped_on_fork() noexcept {
    const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    void* page = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return nullptr;
    }
    if (madvise(page, size, MADV_WIPEONFORK) != 0) {
        munmap(page, size);
        return nullptr;
    }
    return new (page) AtomicNumber(0);
}

}  // namespace

ProcessNumber this_process() noexcept {
    static AtomicNumber* const known = wiped_on_fork();
    static AtomicNumber last{0};  // of this process, or of the ancestor that asked last
    if (known == nullptr) {
        return static_cast<ProcessNumber>(getpid());
    }
    ProcessNumber number = known->load(std::memory_order_relaxed);
    if (number == 0) {
        const ProcessNumber fresh = last.fetch_add(1) + 1;
        return known->compare_exchange_strong(number, fresh) ? fresh
                                                             : number;  // else another thread was first
    }
    return number;
}

}  // namespace stek::pkcs11
