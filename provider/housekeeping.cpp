#include "provider/housekeeping.hpp"

#include "provider/file_watch.hpp"
#include "provider/key_ring.hpp"
#include "provider/no_signals.hpp"
#include "provider/patient_lock.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>
#include <vector>

#include <openssl/crypto.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

namespace stek {
namespace {

constexpr std::size_t stack_size = std::size_t{256} << 10;
constexpr std::chrono::milliseconds wait_for_chore{500};
constexpr std::chrono::milliseconds events_are_gathered_for{10};
constexpr std::uint64_t look_each_ms = 1000;
constexpr std::uint64_t shortest_sleep_ms = 10;

/// The descriptors that a thread sleeps on. A child closes its copies.
struct Bed {
    explicit Bed(const std::string& file)
        : watch(file), timer(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK)) {}
    FileWatch watch;
    AnonymousFd timer;  // poll() itself does not count the time that the machine was suspended
};

/// Held during each chore: whoever has it knows that no thread of ours is in libcrypto, in the token or in
/// the ring. Also guards `beds`.
std::mutex& working() {
    static std::mutex mutex;
    return mutex;
}
std::vector<Bed*>& beds() {
    static auto& all = *new std::vector<Bed*>;
    return all;
}
std::atomic<bool> exiting{false};

void wait_until_nothing_is_touched() noexcept {
    exiting.store(true);
    const auto lock = lock_for_a_while(working(), wait_for_chore);
}

/// Registered after the sealer's handlers, which are there before the first key: so that in both a chore is
/// waited for before the token is closed to it.
void watch_exit_and_forks() {
    static thread_local bool held = false;
    static const int at_exit = std::atexit(wait_until_nothing_is_touched);
    // A program may end OpenSSL and live on.
    static const int at_cleanup = OPENSSL_atexit(wait_until_nothing_is_touched);
    static const int at_fork = pthread_atfork(
        [] {
            auto lock = lock_for_a_while(working(), wait_for_chore);
            held = lock.owns_lock();
            lock.release();
        },
        [] {
            if (held)
                working().unlock();
        },
        [] {
            if (held)
                working().unlock();
            else
                new (&working()) std::mutex;  // its holder is not here
            for (Bed* bed : beds())
                bed->~Bed();  // the thread that would is not here either
            beds().clear();
        });
    static_cast<void>(at_exit);
    static_cast<void>(at_cleanup);
    static_cast<void>(at_fork);
}

/// The lock, in a process that goes on; in one that exits it does not return.
std::unique_lock<std::mutex> touch() noexcept {
    std::unique_lock lock(working());
    if (exiting.load()) {
        lock.unlock();
        for (;;)
            ::pause();
    }
    return lock;
}

}  // namespace

struct Housekeeper::Work {
    Work(std::string file_, std::function<NextLook()> chore_)
        : file(std::move(file_)), chore(std::move(chore_)) {}

    const std::string file;
    const std::function<NextLook()> chore;
    std::atomic<bool> running{false};        // a thread has the work, or is about to
    mutable std::atomic<bool> asked{false};  // since the last chore began
    std::atomic<bool> stopping{false};       // for good
    const AnonymousFd alarm{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};

    NextLook one_chore() const noexcept {
        const auto lock = touch();
        asked.store(false);
        return stopping.load() ? std::nullopt : chore();
    }
    void wake() const noexcept {
        const std::uint64_t one = 1;
        static_cast<void>(!::write(alarm.get(), &one, sizeof one));
    }
    /// Until nothing is left, or it is to stop.
    void run(Bed& bed) const noexcept {
        for (;;) {
            const bool watched = bed.watch.stands();  // before the look, or a change in between is missed
            const NextLook next = one_chore();
            if (!next)
                return;
            sleep(bed, *next, watched);
        }
    }
    void sleep(Bed& bed, std::uint64_t until_ms, bool watched) const noexcept {
        pollfd on[] = {
            {alarm.get(), POLLIN, 0}, {bed.watch.descriptor(), POLLIN, 0}, {bed.timer.get(), POLLIN, 0}};
        const std::uint64_t now_ms = Moment::now().boot_ms;
        if (!watched || on[0].fd < 0 || on[1].fd < 0)
            until_ms = std::min(until_ms, now_ms + look_each_ms);
        until_ms = std::max(until_ms, now_ms + shortest_sleep_ms);
        itimerspec due{};
        due.it_value.tv_sec = static_cast<time_t>(until_ms / 1000);
        due.it_value.tv_nsec = static_cast<long>(until_ms % 1000 * 1'000'000);
        const bool timed = ::timerfd_settime(on[2].fd, TFD_TIMER_ABSTIME, &due, nullptr) == 0;
        if (::poll(on, std::size(on), timed ? -1 : static_cast<int>(until_ms - now_ms)) <= 0)
            return;
        if (on[0].revents != 0) {
            std::uint64_t count = 0;
            static_cast<void>(!::read(on[0].fd, &count, sizeof count));
        }
        if (on[1].revents != 0) {
            std::this_thread::sleep_for(events_are_gathered_for);
            bed.watch.take_events();
        }
    }
    /// The life of a thread.
    static void* live(void* shared) noexcept {
        const std::unique_ptr<std::shared_ptr<Work>> own(static_cast<std::shared_ptr<Work>*>(shared));
        Work& work = **own;
        ::pthread_setname_np(::pthread_self(), "stek-housekeep");
        do {
            try {
                auto bed = std::make_unique<Bed>(work.file);
                {
                    const auto lock = touch();
                    beds().push_back(bed.get());
                }
                work.run(*bed);
                const auto lock = touch();
                std::erase(beds(), bed.get());
                bed.reset();
                ::OPENSSL_thread_stop();  // here, for outside of the lock a fork would not wait for it
            } catch (const std::exception&) {
                // No memory: the next key that is taken starts another.
            }
            work.running.store(false);
        } while (work.asked.load() && !work.stopping.load() && !work.running.exchange(true));
        return nullptr;
    }
};

Housekeeper::Housekeeper(std::string file, std::function<NextLook()> chore)
    : work_(std::make_shared<Work>(std::move(file), std::move(chore))) {}

Housekeeper::~Housekeeper() {
    static_cast<void>(stop());
}

int Housekeeper::begin() noexcept {
    work_->asked.store(true);
    if (work_->running.exchange(true)) {
        work_->wake();
        return 0;
    }
    pthread_attr_t attributes;
    int error = ::pthread_attr_init(&attributes);
    try {
        watch_exit_and_forks();
        auto shared = std::make_unique<std::shared_ptr<Work>>(work_);
        ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        ::pthread_attr_setstacksize(&attributes, stack_size);
        const NoSignals none;
        pthread_t thread{};
        if (error == 0)
            error = ::pthread_create(&thread, &attributes, Work::live, shared.get());
        if (error == 0)
            static_cast<void>(shared.release());  // the thread's now
    } catch (const std::exception&) {
        error = ENOMEM;
    }
    ::pthread_attr_destroy(&attributes);
    if (error != 0)
        work_->running.store(false);
    return error;
}

bool Housekeeper::stop() noexcept {
    work_->stopping.store(true);
    work_->wake();
    const auto until = std::chrono::steady_clock::now() + wait_for_chore;
    while (work_->running.load()) {
        if (exiting.load() || std::chrono::steady_clock::now() >= until)
            return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

}  // namespace stek
