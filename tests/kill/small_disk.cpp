#include "tests/kill/small_disk.hpp"

#include "provider/file.hpp"
#include "tests/fixtures/process.hpp"

#include <fcntl.h>
#include <sched.h>
#include <stdexcept>
#include <string_view>
#include <unistd.h>

#include <sys/mount.h>

namespace stek::test {

SmallDisk::SmallDisk(std::filesystem::path directory, const std::string& size)
    : directory_(std::move(directory)) {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        throw_errno("no mount namespace for", directory_);
    if (::mount("small", directory_.c_str(), "tmpfs", 0, ("mode=0755,size=" + size).c_str()) != 0)
        throw_errno("cannot mount a tmpfs on", directory_);
}

SmallDisk::~SmallDisk() {
    ::umount2(directory_.c_str(), MNT_DETACH);
}

std::filesystem::path SmallDisk::take(const std::filesystem::path& directory) {
    const auto here = directory_ / directory.filename();
    // With modes, owners and ACLs.
    if (const auto copied = run({"cp", "-a", directory, here}); copied.exit_code != 0)
        throw std::runtime_error(copied.output);
    if (::mount(here.c_str(), directory.c_str(), nullptr, MS_BIND, nullptr) != 0)
        throw_errno("cannot bind", directory);
    return here;
}

void SmallDisk::fill() const {
    const Fd file(::open(filler().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    static constexpr char page[4096] = {};
    while (file && ::write(file.get(), page, sizeof page) > 0) {
    }
}

void SmallDisk::free() const {
    std::filesystem::remove(filler());
}

}  // namespace stek::test
