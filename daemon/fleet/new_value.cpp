#include "daemon/fleet/new_value.hpp"

#include "daemon/state.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>

#include <sys/random.h>
#include <sys/stat.h>

namespace stek::fleet {
namespace {

constexpr mode_t owner_only = 0600, group_reads = 0640;
constexpr char aside[] = ".new~";
constexpr time_t left_over_after = 3600;  // seconds; nobody writes 2 MiB for so long

std::string fresh_name() {
    std::array<std::uint8_t, 8> bytes{};
    if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
        throw_errno("no random bytes for", aside);
    return aside + daemon::hex(bytes);
}

/// What link(2) says where there is no such thing: FAT, some network shares.
bool means_no_hard_links(int error) noexcept {
    return error == EPERM || error == EOPNOTSUPP || error == ENOSYS;
}

}  // namespace

NewValue::NewValue(const Directory& bucket)
    : bucket_(&bucket),
      name_(fresh_name()),
      file_(::openat(bucket.fd.get(), name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                     owner_only)) {
    if (!file_)
        throw_errno("cannot create", bucket.path_of(name_));
}

NewValue::~NewValue() {
    if (!placed_)
        ::unlinkat(bucket_->fd.get(), name_.c_str(), 0);
}

void NewValue::write(Bytes value) {
    const auto path = bucket_->path_of(name_);
    while (!value.empty()) {
        const ssize_t written = ::write(file_.get(), value.data(), value.size());
        if (written < 0 && errno != EINTR)
            throw_errno("cannot write", path);
        if (written > 0)
            value = value.subspan(static_cast<std::size_t>(written));
    }
    if (::fchmod(file_.get(), group_reads) != 0)
        throw_errno("cannot set the mode of", path);
    if (::fsync(file_.get()) != 0)
        throw_errno("cannot write", path);
}

bool NewValue::link_to(const std::string& key) {
    const int directory = bucket_->fd.get();
    if (::linkat(directory, name_.c_str(), directory, key.c_str(), 0) == 0)
        return true;
    // An NFS server that is asked twice, for its answer was lost, finds its own work.
    if (errno == EEXIST)
        return has_two_names();
    if (means_no_hard_links(errno))
        return rename_if_free(key);
    throw_errno("cannot create", bucket_->path_of(key));
}

bool NewValue::has_two_names() const {
    struct stat status {};
    if (::fstat(file_.get(), &status) != 0)
        throw_errno("cannot look at", bucket_->path_of(name_));
    return status.st_nlink == 2;
}

bool NewValue::rename_if_free(const std::string& key) {
    const int directory = bucket_->fd.get();
    placed_ = ::renameat2(directory, name_.c_str(), directory, key.c_str(), RENAME_NOREPLACE) == 0;
    if (placed_)
        return true;
    if (errno == EEXIST)
        return false;
    if (errno == EINVAL || errno == ENOSYS)
        throw EngineError("cannot create " + bucket_->path_of(key) +
                          ": its file system has neither hard links nor a rename that does not replace, and "
                          "without them two can believe that they were the first");
    throw_errno("cannot create", bucket_->path_of(key));
}

void NewValue::rename_to(const std::string& key) {
    const int directory = bucket_->fd.get();
    if (::renameat(directory, name_.c_str(), directory, key.c_str()) != 0)
        throw_errno("cannot replace", bucket_->path_of(key));
    placed_ = true;
}

void NewValue::remove_older() const noexcept {
    try {
        struct stat mine {};
        if (::fstat(file_.get(), &mine) != 0)
            return;
        for (const auto& name : files_in(*bucket_, aside)) {
            struct stat status {};
            if (::fstatat(bucket_->fd.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                status.st_mtim.tv_sec < mine.st_mtim.tv_sec - left_over_after)
                ::unlinkat(bucket_->fd.get(), name.c_str(), 0);
        }
    } catch (const std::exception&) {
        // The value matters, not the tidying: the next write tries again.
    }
}

}  // namespace stek::fleet
