// Preloaded: the process's wall clock is STEK_CLOCK_OFF seconds ahead, and the timers that go by it are. All
// other clocks stay, as where somebody has set a wrong time. (faketime moves the timers of all clocks.)
#include <array>
#include <atomic>
#include <cstdlib>
#include <dlfcn.h>
#include <time.h>

#include <sys/time.h>
#include <sys/timerfd.h>

namespace {

time_t off() noexcept {
    static const time_t seconds = [] {
        const char* text = std::getenv("STEK_CLOCK_OFF");
        return text != nullptr ? std::atoll(text) : 0;
    }();
    return seconds;
}

template <class Function>
Function* libc(const char* name) noexcept {
    return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

std::array<std::atomic<bool>, 4096> goes_by_wall_clock;  // by descriptor

}  // namespace

#define STEK_INTERPOSED extern "C" __attribute__((visibility("default")))

STEK_INTERPOSED int clock_gettime(clockid_t clock, timespec* at) noexcept {
    static auto* const real = libc<int(clockid_t, timespec*)>("clock_gettime");
    const int result = real(clock, at);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        at->tv_sec += off();
    return result;
}

STEK_INTERPOSED time_t time(time_t* out) noexcept {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    if (out != nullptr)
        *out = now.tv_sec;
    return now.tv_sec;
}

STEK_INTERPOSED int gettimeofday(timeval* at, void* zone) noexcept {
    static auto* const real = libc<int(timeval*, void*)>("gettimeofday");
    const int result = real(at, zone);
    if (result == 0)
        at->tv_sec += off();
    return result;
}

STEK_INTERPOSED int timerfd_create(clockid_t clock, int flags) noexcept {
    static auto* const real = libc<int(clockid_t, int)>("timerfd_create");
    const int fd = real(clock, flags);
    if (fd >= 0 && static_cast<std::size_t>(fd) < goes_by_wall_clock.size())
        goes_by_wall_clock[static_cast<std::size_t>(fd)] = clock == CLOCK_REALTIME;
    return fd;
}

STEK_INTERPOSED int timerfd_settime(int fd, int flags, const itimerspec* value, itimerspec* old) noexcept {
    static auto* const real = libc<int(int, int, const itimerspec*, itimerspec*)>("timerfd_settime");
    itimerspec moved = *value;
    const bool is_wall = fd >= 0 && static_cast<std::size_t>(fd) < goes_by_wall_clock.size() &&
                         goes_by_wall_clock[static_cast<std::size_t>(fd)];
    if (is_wall && (flags & TFD_TIMER_ABSTIME) != 0 && moved.it_value.tv_sec > 1)
        moved.it_value.tv_sec = moved.it_value.tv_sec > off() ? moved.it_value.tv_sec - off() : 1;
    return real(fd, flags, &moved, old);
}
