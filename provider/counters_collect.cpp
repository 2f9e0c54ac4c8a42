#include "provider/counters_block.hpp"
#include "provider/file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>

#include <sys/file.h>
#include <sys/stat.h>

namespace stek {
namespace {

constexpr char retired_name[] = "retired";

/// The block as plain numbers, as read from a file.
struct Image {
    std::uint64_t magic = Counters::Block::magic_number;
    std::uint32_t version = Counters::Block::layout_version;
    std::int32_t process = 0;
    std::uint64_t sealed = 0, opened = 0, renewed = 0, token_errors = 0;
    std::uint64_t declined[decline_kinds] = {};
    std::uint64_t latency[latency_buckets] = {};
    std::uint64_t latency_sum_ns = 0;

    Image& operator+=(const Image& other) noexcept {
        sealed += other.sealed;
        opened += other.opened;
        renewed += other.renewed;
        token_errors += other.token_errors;
        for (std::size_t i = 0; i < decline_kinds; ++i)
            declined[i] += other.declined[i];
        for (std::size_t i = 0; i < latency_buckets; ++i)
            latency[i] += other.latency[i];
        latency_sum_ns += other.latency_sum_ns;
        return *this;
    }
};
static_assert(sizeof(Image) == sizeof(Counters::Block));
constexpr std::uint32_t version_without_sum = 1;
constexpr std::size_t size_without_sum = offsetof(Image, latency_sum_ns);

bool is_process_file(std::string_view name) {
    const std::size_t dot = name.find('.');
    const auto is_number = [](std::string_view text) {
        return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
    };
    return dot != std::string_view::npos && is_number(name.substr(0, dot)) && is_number(name.substr(dot + 1));
}

/// Servers write this directory, so a name in it may be anything: a link, a FIFO, somebody's file.
Fd open_regular(int directory, const char* name, struct stat& status) {
    Fd file(::openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode))
        return {};
    return file;
}

/// Made by a process that was killed before it counted. A young one may be about to be filled.
bool is_stillborn(const struct stat& status) {
    constexpr std::time_t surely = 60;
    return status.st_size == 0 && std::time(nullptr) - status.st_ctim.tv_sec > surely;
}

std::optional<Image> read_image(int file, const struct stat& status) {
    Image image;
    if (status.st_size != sizeof image && status.st_size != size_without_sum)
        return std::nullopt;
    const auto size = static_cast<std::size_t>(status.st_size);
    if (::pread(file, &image, size, 0) != status.st_size || image.magic != Counters::Block::magic_number ||
        image.version != (size == sizeof image ? Counters::Block::layout_version : version_without_sum))
        return std::nullopt;
    // A server that was not restarted for an update counts on in the old layout. Its latencies stay out: with
    // no sum for them the mean of all would come out too small.
    if (size == size_without_sum) {
        image.version = Counters::Block::layout_version;
        std::ranges::fill(image.latency, 0);
    }
    return image;
}

struct Directory {
    explicit Directory(const std::string& path) : stream(::opendir(path.c_str()), &::closedir) {
        if (!stream)
            throw_errno("cannot read", path);
    }
    [[nodiscard]] int fd() const noexcept { return ::dirfd(stream.get()); }
    const dirent* next(const std::string& path) {
        errno = 0;
        const dirent* entry = ::readdir(stream.get());
        if (entry == nullptr && errno != 0)
            throw_errno("cannot read", path);
        return entry;
    }
    std::unique_ptr<DIR, int (*)(DIR*)> stream;
};

/// Each takes a descriptor, of which a service may have 1024.
constexpr std::size_t most_folded = 256;

/// A file whose process is gone: kept locked until it is folded, so that nobody takes it up meanwhile.
struct Dead {
    std::string name;
    Fd lock;
};

}  // namespace

CounterTotals collect_counters(const std::string& directory, bool fold) {
    Directory listing(directory);
    struct stat status {};
    Image retired;
    if (const Fd file = open_regular(listing.fd(), retired_name, status); file)
        retired = read_image(file.get(), status).value_or(Image{});
    Image living;  // and those dead that keep their files
    CounterTotals totals;
    std::vector<Dead> dead;
    while (const dirent* entry = listing.next(directory)) {
        if (!is_process_file(entry->d_name))
            continue;
        Fd file = open_regular(listing.fd(), entry->d_name, status);
        if (!file || (status.st_size == 0 && !is_stillborn(status)))
            continue;
        // Locked before it is read: what is dead counts no more.
        const bool is_dead = ::flock(file.get(), LOCK_EX | LOCK_NB) == 0;
        const std::optional<Image> image = read_image(file.get(), status);
        if (!image && !(is_dead && is_stillborn(status)))
            continue;
        const bool is_folded = is_dead && fold && dead.size() < most_folded;
        (is_folded ? retired : living) += image.value_or(Image{});
        totals.processes += is_dead ? 0 : 1;
        if (is_folded)
            dead.push_back({entry->d_name, std::move(file)});
    }

    if (!dead.empty()) {
        try {
            std::uint8_t bytes[sizeof(Image)];
            std::memcpy(bytes, &retired, sizeof bytes);
            // Fold, then remove: a kill between the two counts a process twice. The other order would lose
            // one, and a sum that shrinks reads as a restart of everything.
            replace_file(directory + "/" + retired_name, bytes, {});
            for (const Dead& process : dead)
                ::unlinkat(listing.fd(), process.name.c_str(), 0);
            if (dead.size() == most_folded) {
                dead.clear();
                return collect_counters(directory, fold);
            }
        } catch (const std::system_error&) {
            // A full or read-only directory: the dead are counted from their own files until it is not.
        }
    }

    retired += living;
    totals.sealed = retired.sealed;
    totals.opened = retired.opened;
    totals.renewed = retired.renewed;
    totals.token_errors = retired.token_errors;
    totals.declined.assign(std::begin(retired.declined), std::end(retired.declined));
    totals.latency.assign(std::begin(retired.latency), std::end(retired.latency));
    totals.latency_sum_ns = retired.latency_sum_ns;
    return totals;
}

}  // namespace stek
