#include "daemon/token_backup.hpp"

#include "daemon/access.hpp"
#include "pkcs11/secret.hpp"
#include "provider/file.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <optional>

#include <sys/stat.h>

namespace stek::daemon {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t largest_token_object = 65536;  // it is 320 bytes

std::string copies_in(const std::string& state) {
    return state + "/tokens";
}

std::optional<Secret> content_of(const std::string& path) {
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file) {
        if (errno == ENOENT)
            return std::nullopt;
        throw_errno("cannot open", path);
    }
    Secret content(largest_token_object);
    const auto size = ::read(file.get(), content.data(), content.size());
    if (size < 0)
        throw_errno("cannot read", path);
    content.truncate(static_cast<std::size_t>(size));
    return content;
}

bool same(const Secret& a, const Secret& b) {
    return std::equal(a.data(), a.data() + a.size(), b.data(), b.data() + b.size());
}

void write_durably(const std::string& path, const Secret& content) {
    replace_file(path, content.bytes(), [&](int fd) {
        if (::fchmod(fd, 0600) != 0 || ::fsync(fd) != 0)
            throw_errno("cannot write", path);
    });
}

}  // namespace

void back_up_token(const std::string& token_directory, const std::string& state) {
    const auto copies = copies_in(state);
    if (::mkdir(copies.c_str(), 0700) != 0 && errno != EEXIST)
        throw_errno("cannot make", copies);
    const auto copy = copies + "/" + fs::path(token_directory).filename().string();
    const auto now = content_of(token_directory + "/token.object");
    const auto before = content_of(copy);
    if (now && now->size() != 0 && (!before || !same(*now, *before)))
        write_durably(copy, *now);
}

void drop_other_copies(const std::vector<std::string>& token_directories, const std::string& state) {
    std::vector<fs::path> others;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(copies_in(state), none))
        if (std::none_of(token_directories.begin(), token_directories.end(), [&](const auto& kept) {
                return fs::path(kept).filename() == entry.path().filename();
            }))
            others.push_back(entry.path());
    for (const auto& copy : others)
        fs::remove(copy);
}

std::vector<std::string> mend_tokens(const std::string& softhsm_conf, const std::string& state,
                                     TokenClaims& claims) {
    std::vector<std::string> mended;
    const auto tokens = softhsm_tokens_directory(softhsm_conf);
    std::error_code none;
    if (tokens.empty())
        return mended;
    for (const auto& entry : fs::directory_iterator(copies_in(state), none)) {
        const auto directory = tokens + "/" + entry.path().filename().string();
        const auto is_empty = [](const std::optional<Secret>& content) {
            return content && content->size() == 0;
        };
        const auto copy = content_of(entry.path().string());
        if (!copy || is_empty(copy) || !is_empty(content_of(directory + "/token.object")))
            continue;
        claims.take(directory);
        write_durably(directory + "/token.object", *copy);
        mended.push_back(directory);
    }
    return mended;
}

}  // namespace stek::daemon
