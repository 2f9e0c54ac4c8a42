#include "daemon/token_claims.hpp"

#include "daemon/another_stekd.hpp"

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <fcntl.h>
#include <fstream>

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace stek::daemon {
namespace {

bool same_file(int fd, const std::string& path) {
    struct stat held {
    }, there{};
    return ::fstat(fd, &held) == 0 && ::stat(path.c_str(), &there) == 0 && held.st_dev == there.st_dev &&
           held.st_ino == there.st_ino;
}

/// " (process 812)"; empty where the kernel shows none, as for one in another container. proc(5),
/// /proc/locks: "7: FLOCK  ADVISORY  WRITE 812 fe:01:4711 0 EOF".
std::string holder_of(int fd) {
    struct stat status {};
    if (::fstat(fd, &status) != 0)
        return {};
    std::ifstream locks("/proc/locks");
    for (std::string line; std::getline(locks, line);) {
        int pid = 0;
        unsigned device_major = 0, device_minor = 0;
        std::uint64_t inode = 0;
        if (std::sscanf(line.c_str(), "%*s FLOCK %*s %*s %d %x:%x:%" SCNu64, &pid, &device_major,
                        &device_minor, &inode) == 4 &&
            pid > 0 && inode == status.st_ino && makedev(device_major, device_minor) == status.st_dev)
            return " (process " + std::to_string(pid) + ")";
    }
    return {};
}

}  // namespace

void TokenClaims::take(const std::string& directory) {
    if (directory.empty())
        return;
    if (const auto held = held_.find(directory);
        held != held_.end() && same_file(held->second.get(), directory))
        return;
    Fd lock(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!lock)
        throw_errno("cannot open", directory);
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            throw_errno("cannot lock", directory);
        throw AnotherStekd("another stekd" + holder_of(lock.get()) + " works in the token " + directory);
    }
    held_[directory] = std::move(lock);
}

void TokenClaims::keep_only(const std::vector<std::string>& directories) {
    std::erase_if(held_, [&](const auto& held) {
        return std::find(directories.begin(), directories.end(), held.first) == directories.end();
    });
}

}  // namespace stek::daemon
