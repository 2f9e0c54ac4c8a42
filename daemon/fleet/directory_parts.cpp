#include "daemon/fleet/directory_parts.hpp"

#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <utility>

#include <sys/stat.h>

namespace stek::fleet {
namespace {

constexpr mode_t group_enters = 0750;

struct CloseDirectory {
    void operator()(DIR* stream) const noexcept { ::closedir(stream); }
};

/// Whatever the umask; a set-group-ID bit that the root has handed down stays.
void let_group_enter(const Directory& directory) {
    struct stat status {};
    if (::fstat(directory.fd.get(), &status) != 0 ||
        ::fchmod(directory.fd.get(), group_enters | (status.st_mode & S_ISGID)) != 0)
        throw_errno("cannot set the mode of", directory.path);
}

bool is_file(const Directory& directory, const dirent& entry) {
    if (entry.d_type != DT_UNKNOWN)
        return entry.d_type == DT_REG;
    struct stat status {};
    return ::fstatat(directory.fd.get(), entry.d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(status.st_mode);
}

}  // namespace

Directory open_root(const std::string& path) {
    Directory root{Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), path};
    if (!root.fd)
        throw_errno("cannot open", path);
    return root;
}

std::optional<Directory> open_bucket(const Directory& root, const std::string& bucket) {
    Directory opened{
        Fd(::openat(root.fd.get(), bucket.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)),
        root.path_of(bucket)};
    if (opened.fd)
        return opened;
    if (errno != ENOENT)
        throw_errno("cannot open", opened.path);
    return std::nullopt;
}

Directory make_bucket(const Directory& root, const std::string& bucket) {
    if (auto there = open_bucket(root, bucket))
        return std::move(*there);
    const bool made = ::mkdirat(root.fd.get(), bucket.c_str(), group_enters) == 0;
    if (!made && errno != EEXIST)
        throw_errno("cannot make", root.path_of(bucket));
    auto opened = open_bucket(root, bucket);
    if (!opened)
        throw_errno("cannot open", root.path_of(bucket));
    if (made) {
        let_group_enter(*opened);
        sync_directory(root);
    }
    return std::move(*opened);
}

void sync_directory(const Directory& directory) {
    // Some network file systems sync files only, and have nothing to sync here.
    if (::fsync(directory.fd.get()) != 0 && errno != EINVAL && errno != EOPNOTSUPP)
        throw_errno("cannot sync", directory.path);
}

std::vector<std::string> files_in(const Directory& directory, std::string_view prefix) {
    // Opened anew: a stream takes its descriptor, and moves in it.
    Fd own(::openat(directory.fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const std::unique_ptr<DIR, CloseDirectory> stream(own ? ::fdopendir(own.get()) : nullptr);
    if (!stream && errno == ENOENT)
        return {};  // removed since it was opened
    if (!stream)
        throw_errno("cannot read", directory.path);
    static_cast<void>(own.release());
    std::vector<std::string> names;
    for (errno = 0; const dirent* entry = ::readdir(stream.get()); errno = 0) {
        if (std::string_view(entry->d_name).starts_with(prefix) && is_file(directory, *entry))
            names.emplace_back(entry->d_name);
    }
    if (errno != 0 && errno != ENOENT)
        throw_errno("cannot read", directory.path);
    return names;
}

}  // namespace stek::fleet
