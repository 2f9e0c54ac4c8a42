#include "daemon/fleet/durable_file.hpp"

#include "provider/file.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>

#include <sys/stat.h>

namespace stek::fleet {
namespace {

constexpr mode_t owner_only = 0600;

// Else a rename or a removal may be undone by a power cut.
void sync(const std::string& directory) {
    const Fd opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened || ::fsync(opened.get()) != 0)
        throw_errno("cannot sync", directory);
}

}  // namespace

void replace_durably(const std::string& directory, const std::string& name, Bytes content) {
    const auto path = directory + "/" + name;
    replace_file(path, content, [&](int fd) {
        if (::fchmod(fd, owner_only) != 0 || ::fsync(fd) != 0)
            throw_errno("cannot write", path);
    });
    sync(directory);
}

void remove_durably(const std::string& directory, const std::string& name) {
    const auto path = directory + "/" + name;
    if (::unlink(path.c_str()) == 0)
        sync(directory);
    else if (errno != ENOENT)
        throw_errno("cannot remove", path);
}

std::vector<std::uint8_t> read_up_to(const std::string& path, std::size_t most) {
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status {};
    if (!file || ::fstat(file.get(), &status) != 0)
        throw_errno("cannot read", path);
    std::vector<std::uint8_t> content(
        std::min<std::size_t>(static_cast<std::size_t>(status.st_size), most + 1));
    std::size_t got = 0;
    while (got < content.size()) {
        const ssize_t n = ::read(file.get(), content.data() + got, content.size() - got);
        if (n < 0 && errno != EINTR)
            throw_errno("cannot read", path);
        if (n == 0)
            break;
        if (n > 0)
            got += static_cast<std::size_t>(n);
    }
    content.resize(got);
    return content;
}

}  // namespace stek::fleet
