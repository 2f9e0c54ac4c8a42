#include "daemon/access.hpp"

#include "daemon/config.hpp"
#include "provider/file.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <memory>
#include <pwd.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <sys/acl.h>
#include <sys/stat.h>

namespace stek::daemon {
namespace {

struct FreeAcl {
    void operator()(void* acl) const noexcept { acl_free(acl); }
};

std::string rights(mode_t mode, unsigned shift) {
    std::string text = "---";
    const auto bits = mode >> shift & 7U;
    for (unsigned i = 0; i < 3; ++i)
        if ((bits & (4U >> i)) != 0)
            text[i] = "rwx"[i];
    return text;
}

}  // namespace

Readers::Readers(const std::vector<std::string>& names) {
    for (const auto& name : names) {
        const passwd* user = getpwnam(name.c_str());  // NOLINT(concurrency-mt-unsafe): one thread
        if (user == nullptr)
            throw ConfigError("there is no user \"" + name + "\"");
        users_.push_back(user->pw_uid);
    }
    std::sort(users_.begin(), users_.end());
    users_.erase(std::unique(users_.begin(), users_.end()), users_.end());
}

void Readers::set(int fd, const std::string& path, mode_t mode, const char* reader_rights) const {
    if (::fchmod(fd, mode) != 0)
        throw_errno("cannot set the mode of", path);
    std::string text = "u::" + rights(mode, 6) + ",g::" + rights(mode, 3) + ",o::" + rights(mode, 0);
    if (!users_.empty())
        text += std::string(",m::") + reader_rights;
    for (const auto user : users_)
        text += ",u:" + std::to_string(user) + ":" + reader_rights;
    const std::unique_ptr<void, FreeAcl> acl(acl_from_text(text.c_str()));
    // Without readers, too: there may have been some. A file system that has no ACLs has none of theirs.
    if ((!acl || acl_set_fd(fd, static_cast<acl_t>(acl.get())) != 0) && !(users_.empty() && errno == ENOTSUP))
        throw_errno("cannot set the ACL of", path);
}

void Readers::set_directory(const std::string& path, mode_t mode, const char* reader_rights) const {
    const Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory)
        throw_errno("cannot open", path);
    set(directory.get(), path, mode, reader_rights);
}

void Readers::allow_reading(int fd, const std::string& path) const {
    set(fd, path, 0640, "r--");
}

void Readers::allow_entering(const std::string& directory) const {
    set_directory(directory, 0750, "r-x");
}

// The servers' files are theirs, 0640. A stekd that is not root reads them by what they inherit.
void Readers::allow_writing(const std::string& directory) const {
    set_directory(directory, 01770, "rwx");
    if (users_.empty()) {
        if (acl_delete_def_file(directory.c_str()) != 0 && errno != ENOTSUP)
            throw_errno("cannot remove the default ACL of", directory);
        return;
    }
    const auto inherited = "u::rw-,g::---,o::---,m::r--,u:" + std::to_string(::geteuid()) + ":r--";
    const std::unique_ptr<void, FreeAcl> acl(acl_from_text(inherited.c_str()));
    if (!acl || acl_set_file(directory.c_str(), ACL_TYPE_DEFAULT, static_cast<acl_t>(acl.get())) != 0)
        throw_errno("cannot set the default ACL of", directory);
}

void Readers::allow_token(const std::string& directory) const {
    allow_entering(directory);
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        const Fd file(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
        if (file)
            allow_reading(file.get(), entry.path().string());
        else if (errno != ENOENT)
            throw_errno("cannot open", entry.path().string());
    }
}

std::string softhsm_tokens_directory(const std::string& softhsm_conf) {
    std::ifstream in(softhsm_conf);
    std::string tokens;
    for (std::string line; std::getline(in, line);) {
        const auto from = line.find_first_not_of(" \t");
        const auto equals = line.find('=');
        if (from == std::string::npos || equals == std::string::npos ||
            line.compare(from, 20, "directories.tokendir") != 0)
            continue;
        const auto begin = line.find_first_not_of(" \t", equals + 1);
        const auto end = line.find_last_not_of(" \t\r");
        if (begin != std::string::npos)
            tokens = line.substr(begin, end - begin + 1);
    }
    return tokens;
}

// SoftHSM's file backend writes the serial as text among the attributes of token.object.
static bool holds_serial(const std::filesystem::path& token, const std::string& serial) {
    constexpr std::size_t largest = 65536;  // it is 320 bytes
    const Fd file(::open((token / "token.object").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file)
        return false;
    Secret content(largest);
    const auto size = ::read(file.get(), content.data(), content.size());
    const auto* begin = std::as_const(content).data();
    const auto* end = begin + std::max<ssize_t>(size, 0);
    return std::search(begin, end, serial.begin(), serial.end()) != end;
}

std::string softhsm_token_directory(const std::string& softhsm_conf, const std::string& serial) {
    const auto tokens = softhsm_tokens_directory(softhsm_conf);
    if (tokens.empty() || serial.empty())
        return {};
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(tokens, error)) {
        auto name = entry.path().filename().string();
        std::erase(name, '-');
        if (entry.is_directory() && (name.ends_with(serial) || holds_serial(entry.path(), serial)))
            return entry.path().string();
    }
    return {};
}

}  // namespace stek::daemon
