// The library itself. See allocation_fault.hpp.
#include "tests/kill/allocation_fault.hpp"

#include "tests/fixtures/shared_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <execinfo.h>
#include <link.h>
#include <span>

// glibc's own, below all that interposes.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
}

namespace {

using stek::tests::AllocationControl;

AllocationControl* control = nullptr;
// The loader's way to thread-local memory would allocate.
__attribute__((tls_model("initial-exec"))) thread_local bool inside = false;

/// Where a library's code is. They are mapped when the configuration is read, long after this one.
struct Range {
    const char* library;
    std::uintptr_t begin, end;
    [[nodiscard]] bool holds(const void* at) const {
        const auto address = reinterpret_cast<std::uintptr_t>(at);
        return address >= begin && address < end;
    }
};
std::array<Range, 5> ranges{{{"/stek.so", 0, 0},
                             {"softhsm", 0, 0},
                             {"faulty-pkcs11", 0, 0},
                             {"libstdc++", 0, 0},
                             {"allocation_fault", 0, 0}}};
constexpr std::size_t ours = 3;  // of these
const Range &provider = ranges[0], &softhsm = ranges[1], &libstdcxx = ranges[3], &here = ranges[4];

int find_ranges(dl_phdr_info* info, std::size_t, void*) {
    for (Range& range : ranges) {
        if (std::strstr(info->dlpi_name, range.library) == nullptr)
            continue;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
            const auto& part = info->dlpi_phdr[i];
            if (part.p_type == PT_LOAD && (part.p_flags & PF_X) != 0) {
                range.begin = info->dlpi_addr + part.p_vaddr;
                range.end = range.begin + part.p_memsz;
            }
        }
    }
    return 0;
}

/// SoftHSM ends the process, exit(5), when it catches an exception of its own (2.6.1, tried): no provider can
/// live through that.
bool is_softhsms_operator_new(std::span<void* const> stack) {
    const auto caller =
        std::find_if_not(stack.begin(), stack.end(), [](const void* at) { return here.holds(at); });
    // operator new, and what of the library called it: std::string and its like.
    const auto behind =
        std::find_if_not(caller, stack.end(), [](const void* at) { return libstdcxx.holds(at); });
    return behind != caller && behind != stack.end() && softhsm.holds(*behind);
}

bool on_the_providers_account() {
    if (provider.end == 0)
        dl_iterate_phdr(find_ranges, nullptr);
    std::array<void*, 64> frames{};
    const int depth = backtrace(frames.data(), frames.size());
    const auto stack = std::span<void* const>(frames).first(static_cast<std::size_t>(depth));
    if (is_softhsms_operator_new(stack))
        return false;
    return std::any_of(stack.begin(), stack.end(), [](const void* at) {
        return std::any_of(ranges.begin(), ranges.begin() + ours,
                           [at](const Range& range) { return range.holds(at); });
    });
}

bool fails() {
    if (control == nullptr || inside)
        return false;
    const std::uint64_t one_in = control->one_in.load(std::memory_order_relaxed);
    if (one_in == 0)
        return false;
    inside = true;
    bool result = false;
    if (control->whole_program.load(std::memory_order_relaxed) || on_the_providers_account()) {
        result = (control->seen.fetch_add(1) + 1) % one_in == 0;
        if (result)
            control->failed.fetch_add(1);
    }
    inside = false;
    if (result)
        errno = ENOMEM;
    return result;
}

__attribute__((constructor)) void set_up() {
    inside = true;
    void* frame = nullptr;
    backtrace(&frame, 1);  // loads the unwinder
    if (const char* path = std::getenv("STEK_ALLOCATION_FAULT"))
        control = stek::tests::map_shared_file<AllocationControl>(path);
    if (control == nullptr)
        std::abort();
    inside = false;
}

}  // namespace

#define STEK_EXPORT extern "C" __attribute__((visibility("default")))

STEK_EXPORT void* malloc(std::size_t size) {
    return fails() ? nullptr : __libc_malloc(size);
}
STEK_EXPORT void* calloc(std::size_t count, std::size_t size) {
    return fails() ? nullptr : __libc_calloc(count, size);
}
STEK_EXPORT void* realloc(void* old, std::size_t size) {
    return fails() ? nullptr : __libc_realloc(old, size);
}
STEK_EXPORT void* memalign(std::size_t alignment, std::size_t size) {
    return fails() ? nullptr : __libc_memalign(alignment, size);
}
STEK_EXPORT void* aligned_alloc(std::size_t alignment, std::size_t size) {
    return fails() ? nullptr : __libc_memalign(alignment, size);
}
STEK_EXPORT int posix_memalign(void** to, std::size_t alignment, std::size_t size) {
    if (fails())
        return ENOMEM;
    *to = __libc_memalign(alignment, size);
    return *to == nullptr ? ENOMEM : 0;
}
