#include "provider/counters.hpp"

#include "provider/counters_block.hpp"
#include "provider/file.hpp"
#include "provider/journal.hpp"

#include <algorithm>
#include <cerrno>
#include <exception>
#include <fcntl.h>
#include <fstream>
#include <sched.h>
#include <system_error>
#include <unistd.h>

#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

namespace stek {
namespace {

using Block = Counters::Block;

/// Counts where no memory of its own could be had; never read.
Block nowhere;

void label(Block& block) noexcept {
    block.process.store(::getpid(), std::memory_order_relaxed);
    block.version.store(Block::layout_version, std::memory_order_relaxed);
    block.magic.store(Block::magic_number, std::memory_order_release);
}

Block* map(int fd) noexcept {
    const int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void* memory = ::mmap(nullptr, sizeof(Block), PROT_READ | PROT_WRITE, flags, fd, 0);
    if (memory == MAP_FAILED)
        return nullptr;
    auto* block = static_cast<Block*>(memory);
    label(*block);
    return block;
}

/// proc(5): field 22 of /proc/self/stat, in clock ticks since boot; "0" where there is no /proc (a chroot).
/// The name in field 2 may hold blanks and parentheses, so fields are counted from its end.
std::string start_time() {
    constexpr int fields_before = 22 - 3;
    std::ifstream in("/proc/self/stat");
    std::string line;
    std::getline(in, line);
    std::size_t at = line.rfind(')');
    for (int field = 0; at != std::string::npos && field <= fields_before; ++field)
        at = line.find(' ', at + 1);
    if (at == std::string::npos)
        return "0";
    const std::size_t digits = at + 1;
    return line.substr(digits, line.find(' ', digits) - digits);
}

/// Else SIGXFSZ would end the server: a unit's LimitFSIZE=0.
bool may_write(std::size_t size) noexcept {
    rlimit limit{};
    return ::getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
           (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= size);
}

/// This process's file, locked (shared) for as long as it stays mapped: the lock belongs to the open file,
/// which the mapping keeps. So who lives is known without /proc, across containers' process ids, and without
/// a descriptor that a server might close. -1, and errno, if there cannot be one.
Fd open_own_file(const std::string& path) {
    constexpr mode_t group_reads = 0640;
    constexpr int tries = 8;
    if (!may_write(sizeof(Block))) {
        errno = EFBIG;
        return {};
    }
    for (int i = 0; i < tries; ++i) {
        Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, group_reads));
        struct stat status {};
        if (!file || ::fstat(file.get(), &status) != 0)
            return {};
        if (!S_ISREG(status.st_mode) || status.st_uid != ::geteuid() ||
            (status.st_size != 0 && status.st_size != sizeof(Block))) {
            errno = EEXIST;
            return {};
        }
        // A collector may hold the lock for a moment, and may have removed the name since.
        if (::flock(file.get(), LOCK_SH | LOCK_NB) != 0 || ::fstat(file.get(), &status) != 0 ||
            status.st_nlink != 1) {
            ::sched_yield();
            continue;
        }
        // Every page now: a write to a hole of a full tmpfs would be SIGBUS.
        if (const int error = ::posix_fallocate(file.get(), 0, sizeof(Block)); error != 0) {
            ::unlink(path.c_str());
            errno = error;
            return {};
        }
        return file;
    }
    errno = EBUSY;
    return {};
}

std::string own_path(const std::string& directory) {
    return directory + "/" + std::to_string(::getpid()) + "." + start_time();
}

Block* map_own_file(const std::string& directory) noexcept {
    if (directory.empty())
        return nullptr;
    try {
        const Fd file = open_own_file(own_path(directory));
        return file ? map(file.get()) : nullptr;
    } catch (const std::exception&) {
        errno = ENOMEM;
        return nullptr;
    }
}

void tell_not_kept(const std::string& directory, int error) noexcept {
    journal::tell([&] {
        const std::string reason = std::generic_category().message(error);
        journal::send(journal::Level::warning,
                      "what happens to tickets of this process is not counted: no file can be made in " +
                          directory + ": " + reason,
                      {{"STEK_STATE", "not-counted"}, {"STEK_REASON", reason}});
    });
}

void unmap(Block* block) noexcept {
    if (block != nullptr && block != &nowhere)
        ::munmap(block, sizeof(Block));
}

void add_one(std::atomic<std::uint64_t>& counter) noexcept {
    counter.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

Counters::Counters(std::string directory) : directory_(std::move(directory)) {}

Counters::~Counters() {
    unmap(block_.load());
}

Counters::Block& Counters::counting() noexcept {
    Block* block = block_.load(std::memory_order_acquire);
    if (block != nullptr)
        return *block;
    const int saved = errno;
    Block* made = map_own_file(directory_);
    if (made == nullptr && !directory_.empty() && !told_.exchange(true))
        tell_not_kept(directory_, errno);
    if (made == nullptr)
        made = map(-1);
    if (made == nullptr)
        made = &nowhere;
    if (!block_.compare_exchange_strong(block, made, std::memory_order_acq_rel)) {
        unmap(made);
        made = block;
    }
    errno = saved;
    return *made;
}

void Counters::look_for_file() noexcept {
    Block* block = block_.load(std::memory_order_acquire);
    struct stat status {};
    try {
        if (block == nullptr || directory_.empty() || ::stat(own_path(directory_).c_str(), &status) == 0)
            return;
    } catch (const std::exception&) {
        return;
    }
    // Not unmapped: another thread may be counting in it.
    block_.compare_exchange_strong(block, nullptr, std::memory_order_acq_rel);
}

void Counters::sealed() noexcept {
    add_one(counting().sealed);
}
void Counters::opened() noexcept {
    add_one(counting().opened);
}
void Counters::renewed() noexcept {
    add_one(counting().renewed);
}
void Counters::token_error() noexcept {
    add_one(counting().token_errors);
}

void Counters::declined(Decline why) noexcept {
    if (why < Decline::count_)
        add_one(counting().declined[static_cast<unsigned>(why)]);
}

void Counters::latency(std::uint64_t nanoseconds) noexcept {
    const auto* bound = std::find_if(std::begin(latency_bounds_us), std::end(latency_bounds_us),
                                     [=](std::uint64_t us) { return nanoseconds <= us * 1000; });
    auto& block = counting();
    add_one(block.latency[bound - latency_bounds_us]);
    block.latency_sum_ns.fetch_add(nanoseconds, std::memory_order_relaxed);
}

const char* decline_name(Decline why) noexcept {
    switch (why) {
        case Decline::no_ring:
            return "no-ring";
        case Decline::no_key_to_seal:
            return "no-key-to-seal";
        case Decline::unknown_key:
            return "unknown-key";
        case Decline::expired_key:
            return "expired-key";
        case Decline::foreign:
            return "foreign";
        case Decline::bad_tag:
            return "bad-tag";
        case Decline::too_old:
            return "too-old";
        case Decline::no_audience:
            return "no-audience";
        case Decline::token_down:
            return "token-down";
        case Decline::key_limit:
            return "key-limit";
        case Decline::malformed:
            return "malformed";
        case Decline::count_:
            break;
    }
    return "unknown";
}

}  // namespace stek
