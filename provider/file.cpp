#include "provider/file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <system_error>

#include <sys/stat.h>

namespace stek {
namespace {

constexpr mode_t owner_only = 0600, group_reads = 0640;

/// Removes the file unless it was kept.
class Unfinished {
  public:
    explicit Unfinished(const std::string& path) noexcept : path_(&path) {}
    Unfinished(const Unfinished&) = delete;
    Unfinished& operator=(const Unfinished&) = delete;
    ~Unfinished() {
        if (path_ != nullptr)
            ::unlink(path_->c_str());
    }
    void keep() noexcept { path_ = nullptr; }

  private:
    const std::string* path_;
};

}  // namespace

void write_all(int fd, Bytes content, const std::string& path) {
    while (!content.empty()) {
        const ssize_t written = ::write(fd, content.data(), content.size());
        if (written < 0 && errno != EINTR)
            throw_errno("cannot write", path);
        if (written > 0)
            content = content.subspan(static_cast<std::size_t>(written));
    }
}

void throw_errno(const char* what, const std::string& path) {
    const int error = errno;
    throw std::system_error(error, std::generic_category(), std::string(what) + " " + path);
}

void replace_file(const std::string& path, Bytes content, const std::function<void(int fd)>& set_access) {
    // A fixed name: what a killed writer left behind is removed by the next one instead of piling up.
    const std::string unfinished_path = path + ".new";
    if (::unlink(unfinished_path.c_str()) != 0 && errno != ENOENT)
        throw_errno("cannot remove", unfinished_path);
    Fd file(
        ::open(unfinished_path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, owner_only));
    if (!file)
        throw_errno("cannot create", unfinished_path);
    Unfinished unfinished(unfinished_path);

    write_all(file.get(), content, unfinished_path);
    if (::fchmod(file.get(), group_reads) != 0)
        throw_errno("cannot set the mode of", unfinished_path);
    if (set_access)
        set_access(file.get());
    // No fsync: these files live on tmpfs and die with the boot. On a disk a power cut could leave a torn
    // one, which its checksum or size gives away, and its writer makes it anew at every start.
    if (::close(file.release()) != 0)
        throw_errno("cannot write", unfinished_path);
    if (::rename(unfinished_path.c_str(), path.c_str()) != 0)
        throw_errno("cannot rename to", path);
    unfinished.keep();
}

}  // namespace stek
