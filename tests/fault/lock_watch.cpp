// Preloaded into a program, counts the pthread locks it takes, by whose account they are on: the innermost of
// the provider and SoftHSM on the stack. Condition variables need a mutex, so mutexes and rwlocks suffice;
// locks within libc (malloc's) are no pthread calls and not seen.
//
//     LD_PRELOAD=lock_watch.so LOCK_WATCH_OUT=file program
//
// The program calls lock_watch(1) and lock_watch(0). The file then has a line a kind: "KIND COUNT", and for
// the provider's through others one more for each function it went through.
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <execinfo.h>
#include <link.h>
#include <map>
#include <pthread.h>
#include <string>

namespace {

enum Kind { provider_itself, provider_through_others, token_module, program, kinds };
constexpr const char* kind_names[kinds] = {"provider-itself", "provider-through-others", "token-module",
                                           "program"};

std::atomic<bool> watching{false};
std::array<std::atomic<unsigned long>, kinds> counts;
std::atomic_flag names_busy;
std::map<std::string, unsigned long>& names() {
    static std::map<std::string, unsigned long> map;
    return map;
}
thread_local bool inside = false;

/// Where a module's code is: found once, for dladdr() would search its symbols each time.
struct Range {
    const char* module;
    std::uintptr_t begin, end;
    [[nodiscard]] bool holds(const void* at) const {
        const auto address = reinterpret_cast<std::uintptr_t>(at);
        return address >= begin && address < end;
    }
};
Range provider{"stek.so", 0, 0};
Range softhsm{"softhsm", 0, 0};
Range watcher{"lock_watch", 0, 0};

int find_ranges(dl_phdr_info* info, std::size_t, void*) {
    for (Range* range : {&provider, &softhsm, &watcher}) {
        if (std::strstr(info->dlpi_name, range->module) == nullptr) {
            continue;
        }
        for (int i = 0; i < info->dlpi_phnum; ++i) {
            const auto& part = info->dlpi_phdr[i];
            if (part.p_type == PT_LOAD && (part.p_flags & PF_X) != 0) {
                range->begin = info->dlpi_addr + part.p_vaddr;
                range->end = range->begin + part.p_memsz;
            }
        }
    }
    return 0;
}

void note_name(const char* name) {
    while (names_busy.test_and_set(std::memory_order_acquire)) {
    }
    ++names()[name != nullptr ? name : "?"];
    names_busy.clear(std::memory_order_release);
}

void note() {
    if (!watching.load(std::memory_order_relaxed) || inside) {
        return;
    }
    inside = true;
    void* stack[64];
    const int depth = backtrace(stack, 64);
    Kind kind = program;
    const void* through = nullptr;
    for (int i = 0; i < depth && kind == program; ++i) {
        if (watcher.holds(stack[i])) {
            continue;
        }
        if (softhsm.holds(stack[i])) {
            kind = token_module;
        } else if (provider.holds(stack[i])) {
            kind = through == nullptr ? provider_itself : provider_through_others;
        } else {
            through = stack[i];
        }
    }
    counts[kind].fetch_add(1, std::memory_order_relaxed);
    if (kind == provider_through_others) {
        Dl_info where{};
        note_name(dladdr(through, &where) != 0 ? where.dli_sname : nullptr);
    }
    inside = false;
}

}  // namespace

#define STEK_WATCH(name, parameters, arguments)                                      \
    extern "C" __attribute__((visibility("default"))) int name parameters noexcept { \
        static std::atomic<void*> known{nullptr};                                    \
        void* function = known.load(std::memory_order_relaxed);                      \
        if (function == nullptr) {                                                   \
            function = dlsym(RTLD_NEXT, #name);                                      \
            known.store(function, std::memory_order_relaxed);                        \
        }                                                                            \
        note();                                                                      \
        return reinterpret_cast<int(*) parameters>(function) arguments;              \
    }

STEK_WATCH(pthread_mutex_lock, (pthread_mutex_t * lock), (lock))
STEK_WATCH(pthread_mutex_trylock, (pthread_mutex_t * lock), (lock))
STEK_WATCH(pthread_mutex_timedlock, (pthread_mutex_t * lock, const timespec* until), (lock, until))
STEK_WATCH(pthread_mutex_clocklock, (pthread_mutex_t * lock, clockid_t clock, const timespec* until),
           (lock, clock, until))
STEK_WATCH(pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock))
STEK_WATCH(pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock))
STEK_WATCH(pthread_rwlock_tryrdlock, (pthread_rwlock_t * lock), (lock))
STEK_WATCH(pthread_rwlock_trywrlock, (pthread_rwlock_t * lock), (lock))

extern "C" __attribute__((visibility("default"))) void lock_watch(int on) {
    if (on != 0) {
        void* frame = nullptr;
        backtrace(&frame, 1);  // loads the unwinder
        dl_iterate_phdr(find_ranges, nullptr);
        watching = true;
        return;
    }
    watching = false;
    const char* path = std::getenv("LOCK_WATCH_OUT");
    FILE* out = path != nullptr ? std::fopen(path, "w") : nullptr;
    if (out == nullptr) {
        std::abort();
    }
    for (int kind = 0; kind < kinds; ++kind) {
        std::fprintf(out, "%s %lu\n", kind_names[kind], counts[kind].load());
    }
    for (const auto& [name, count] : names()) {
        std::fprintf(out, "through:%s %lu\n", name.c_str(), count);
    }
    std::fclose(out);
}
