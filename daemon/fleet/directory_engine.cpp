#include "daemon/fleet/directory_engine.hpp"

#include "daemon/fleet/directory_watch.hpp"
#include "daemon/fleet/new_value.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <map>

#include <sys/stat.h>

namespace stek::fleet {
namespace {

using std::chrono::steady_clock;
using Value = std::vector<std::uint8_t>;

/// A bucket of thousands is not looked through at each of a thousand writes in a row.
constexpr auto between_tidyings = std::chrono::minutes(10);

enum class Place : std::uint8_t { free, value, other };

/// What is there under that name. Links are not followed.
Place look_at(const Directory& bucket, const std::string& key) {
    struct stat status {};
    if (::fstatat(bucket.fd.get(), key.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0)
        return S_ISREG(status.st_mode) ? Place::value : Place::other;
    if (errno != ENOENT)
        throw_errno("cannot look at", bucket.path_of(key));
    return Place::free;
}

/// None if there is none, or no longer.
Fd open_value(const Directory& bucket, const std::string& key) {
    // Asked first, for to open a device may already do something; O_NONBLOCK where it changes meanwhile.
    if (look_at(bucket, key) != Place::value)
        return {};
    Fd file(
        ::openat(bucket.fd.get(), key.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!file && errno != ENOENT && errno != ELOOP && errno != ENXIO)
        throw_errno("cannot open", bucket.path_of(key));
    return file;
}

/// To its end, whatever its size was said to be: one that grows is cut off, not followed.
Value read_whole(int fd, std::size_t expected, const std::string& path) {
    Value value(expected + 1);
    std::size_t got = 0;
    for (;;) {
        const ssize_t n = ::read(fd, value.data() + got, value.size() - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            throw_errno("cannot read", path);
        if (n == 0)
            break;
        got += static_cast<std::size_t>(n);
        if (got > Engine::max_value)
            throw OversizedValue(path + " grows beyond " + std::to_string(Engine::max_value) + " bytes");
        if (got == value.size())
            value.resize(std::min(2 * got, Engine::max_value + 1));
    }
    value.resize(got);
    return value;
}

std::optional<Value> read_value(const Directory& bucket, const std::string& key) {
    const auto file = open_value(bucket, key);
    if (!file)
        return std::nullopt;
    const auto path = bucket.path_of(key);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0)
        throw_errno("cannot look at", path);
    if (!S_ISREG(status.st_mode))
        return std::nullopt;
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (size > Engine::max_value)
        throw OversizedValue(path + " has " + std::to_string(size) + " bytes, more than " +
                             std::to_string(Engine::max_value));
    return read_whole(file.get(), static_cast<std::size_t>(size), path);
}

/// On NFS, one that another host has replaced cannot be read to its end: the new one can.
std::optional<Value> read_steadily(const Directory& bucket, const std::string& key) {
    for (int attempts_left = 4;; --attempts_left) {
        try {
            return read_value(bucket, key);
        } catch (const std::system_error& error) {
            if (error.code().value() != ESTALE || attempts_left == 0)
                throw;
        }
    }
}

class DirectoryEngine final : public Engine {
  public:
    explicit DirectoryEngine(const std::string& directory) : directory_(directory) {}

    bool create(const std::string& bucket, const std::string& key, Bytes value) override;
    void put(const std::string& bucket, const std::string& key, Bytes value) override;
    std::optional<Value> get(const std::string& bucket, const std::string& key) override;
    std::vector<std::string> list(const std::string& bucket, const std::string& prefix) override;
    void erase(const std::string& bucket, const std::string& key) override;
    std::unique_ptr<Watch> watch(const std::string& bucket) override;
    [[nodiscard]] std::string name() const override { return "directory " + directory_; }

  private:
    void tidy(const NewValue& beside, const std::string& bucket);

    std::string directory_;
    std::map<std::string, steady_clock::time_point> tidied_;
};

bool DirectoryEngine::create(const std::string& bucket, const std::string& key, Bytes value) {
    check_names(bucket, key);
    check_value(value);
    return with_engine_errors([&] {
        const auto directory = make_bucket(open_root(directory_), bucket);
        // The usual case, each hour, of all origins but one: it needs no write.
        if (const auto place = look_at(directory, key); place == Place::value)
            return false;
        else if (place == Place::other)
            throw EngineError("cannot create " + directory.path_of(key) + ": what is there is no file");
        {
            NewValue file(directory);
            tidy(file, bucket);  // before it is written: on a full disk that may make the room
            file.write(value);
            if (!file.link_to(key))
                return false;
        }
        sync_directory(directory);
        return true;
    });
}

void DirectoryEngine::put(const std::string& bucket, const std::string& key, Bytes value) {
    check_names(bucket, key);
    check_value(value);
    with_engine_errors([&] {
        const auto directory = make_bucket(open_root(directory_), bucket);
        NewValue file(directory);
        tidy(file, bucket);
        file.write(value);
        file.rename_to(key);
        sync_directory(directory);
    });
}

std::optional<Value> DirectoryEngine::get(const std::string& bucket, const std::string& key) {
    check_names(bucket, key);
    return with_engine_errors([&]() -> std::optional<Value> {
        const auto directory = open_bucket(open_root(directory_), bucket);
        return directory ? read_steadily(*directory, key) : std::nullopt;
    });
}

std::vector<std::string> DirectoryEngine::list(const std::string& bucket, const std::string& prefix) {
    check_bucket(bucket);
    return with_engine_errors([&] {
        const auto directory = open_bucket(open_root(directory_), bucket);
        auto names = directory ? files_in(*directory, prefix) : std::vector<std::string>{};
        std::erase_if(names, [](const auto& name) { return !fit_for_key(name); });
        std::sort(names.begin(), names.end());
        return names;
    });
}

void DirectoryEngine::erase(const std::string& bucket, const std::string& key) {
    check_names(bucket, key);
    with_engine_errors([&] {
        const auto directory = open_bucket(open_root(directory_), bucket);
        if (!directory)
            return;
        if (::unlinkat(directory->fd.get(), key.c_str(), 0) == 0)
            sync_directory(*directory);
        else if (errno != ENOENT && errno != EISDIR)
            throw_errno("cannot remove", directory->path_of(key));
    });
}

std::unique_ptr<Watch> DirectoryEngine::watch(const std::string& bucket) {
    check_bucket(bucket);
    return std::make_unique<DirectoryWatch>(directory_, bucket);
}

void DirectoryEngine::tidy(const NewValue& beside, const std::string& bucket) {
    const auto now = steady_clock::now();
    const auto [last, first_time] = tidied_.try_emplace(bucket, now);
    if (!first_time && now - last->second < between_tidyings)
        return;
    last->second = now;
    beside.remove_older();
}

}  // namespace

std::unique_ptr<Engine> make_directory_engine(const std::string& directory) {
    return std::make_unique<DirectoryEngine>(directory);
}

}  // namespace stek::fleet
