#include "daemon/state.hpp"

#include "daemon/log.hpp"

#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>
#include <sys/stat.h>

namespace stek::daemon {
namespace {

using nlohmann::json;

constexpr int format_version = 1;

std::string file_in(const std::string& directory) {
    return directory + "/state.json";
}

std::string lock_in(const std::string& directory) {
    return directory + "/lock";
}

std::vector<std::uint8_t> from_hex(const std::string& text) {
    if (text.size() % 2 != 0)
        throw std::invalid_argument("half a byte in hexadecimal");
    std::vector<std::uint8_t> bytes(text.size() / 2);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const char* begin = text.data() + 2 * i;
        if (std::from_chars(begin, begin + 2, bytes[i], 16).ptr != begin + 2)
            throw std::invalid_argument("not hexadecimal");
    }
    return bytes;
}

PairId pair_id_from(const std::string& text) {
    const auto bytes = from_hex(text);
    PairId id{};
    if (bytes.size() != id.size())
        throw std::invalid_argument("a pair id is 16 bytes");
    std::copy(bytes.begin(), bytes.end(), id.begin());
    return id;
}

json to_json(const State& state) {
    json pairs = json::array();
    for (const auto& pair : state.memory.pairs)
        pairs.push_back({{"id", hex(pair.id)},
                         {"slot", pair.slot},
                         {"made_at", pair.made_at},
                         {"public_key", hex(state.public_keys.at(pair.id))}});
    json out{{"version", format_version},
             {"boot_id", state.boot_id},
             {"token_serial", state.token_serial},
             {"generation", state.generation},
             {"highest_revision", state.memory.highest_revision},
             {"index_epoch", state.memory.index_epoch},
             {"pairs", pairs},
             {"enforcing_serial", state.enforcing_serial},
             {"weaknesses", state.weaknesses}};
    if (state.memory.highest_epoch)
        out["highest_epoch"] = *state.memory.highest_epoch;
    if (state.memory.highest_index)
        out["highest_index"] = *state.memory.highest_index;
    if (const auto& past = state.memory.rotated_past)
        out["rotated_past"] = {{"epoch", past->epoch}, {"revision", past->revision}};
    for (const auto& id : state.memory.condemned)
        out["condemned"].push_back(hex(id));
    return out;
}

State from_json(const json& in) {
    if (in.at("version") != format_version)
        throw std::invalid_argument("of another version");
    State state;
    in.at("boot_id").get_to(state.boot_id);
    in.at("token_serial").get_to(state.token_serial);
    in.at("generation").get_to(state.generation);
    in.at("highest_revision").get_to(state.memory.highest_revision);
    in.at("index_epoch").get_to(state.memory.index_epoch);
    in.at("enforcing_serial").get_to(state.enforcing_serial);
    in.at("weaknesses").get_to(state.weaknesses);
    if (in.contains("highest_epoch"))
        state.memory.highest_epoch = in.at("highest_epoch").get<std::uint64_t>();
    if (in.contains("highest_index"))
        state.memory.highest_index = in.at("highest_index").get<std::uint64_t>();
    if (in.contains("rotated_past"))
        state.memory.rotated_past = {in.at("rotated_past").at("epoch").get<std::uint64_t>(),
                                     in.at("rotated_past").at("revision").get<std::uint32_t>()};
    if (in.contains("condemned"))
        for (const auto& id : in.at("condemned"))
            state.memory.condemned.push_back(pair_id_from(id.get<std::string>()));
    for (const auto& item : in.at("pairs")) {
        const auto id = pair_id_from(item.at("id").get<std::string>());
        state.memory.pairs.push_back(
            {id, item.at("slot").get<std::int64_t>(), item.at("made_at").get<std::uint64_t>()});
        state.public_keys.emplace(id, from_hex(item.at("public_key").get<std::string>()));
    }
    return state;
}

// Open file description locks: looking at one does not take it, and it goes with the descriptor.
struct flock whole_file() {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return lock;
}

pid_t written_pid(const std::string& path) {
    pid_t pid = 0;
    std::ifstream(lock_in(path)) >> pid;
    return pid;
}

/// What root made, by --check or --once, the service's user must be able to open.
void give_to_owner_of(const std::string& directory, int fd, const std::string& name) {
    struct stat owners {};
    struct stat file {};
    if (::geteuid() == 0 && ::stat(directory.c_str(), &owners) == 0 && ::fstat(fd, &file) == 0 &&
        owners.st_uid != file.st_uid && ::fchown(fd, owners.st_uid, owners.st_gid) != 0)
        throw_errno("cannot give away", name);
}

}  // namespace

std::string hex(Bytes bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const auto byte : bytes) {
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text;
}

StateDirectory::StateDirectory(const std::string& path) : path_(path) {
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
        throw_errno("cannot make", path);
    lock_ = Fd(::open(lock_in(path).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock_)
        throw_errno("cannot open", lock_in(path));
    give_to_owner_of(path, lock_.get(), lock_in(path));
    auto lock = whole_file();
    if (::fcntl(lock_.get(), F_OFD_SETLK, &lock) != 0) {
        if (errno != EAGAIN && errno != EACCES)
            throw_errno("cannot lock", lock_in(path));
        throw AnotherStekd("another stekd (process " + std::to_string(written_pid(path)) + ") works in " +
                           path);
    }
    const auto pid = std::to_string(::getpid()) + "\n";
    // Written over what is there, which needs no room on a full disk.
    if (::pwrite(lock_.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size()) ||
        ::ftruncate(lock_.get(), static_cast<off_t>(pid.size())) != 0)
        throw_errno("cannot write", lock_in(path));
}

State StateDirectory::peek(const std::string& path) {
    errno = 0;
    std::ifstream in(file_in(path));
    if (!in) {
        if (errno != ENOENT && errno != ENOTDIR)
            throw_errno("cannot open", file_in(path));
        return {};
    }
    try {
        return from_json(json::parse(in));
    } catch (const std::exception& error) {
        throw std::runtime_error(file_in(path) + ": " + error.what());
    }
}

State StateDirectory::load() const {
    return peek(path_);
}

State StateDirectory::load_or_set_aside() const {
    try {
        return load();
    } catch (const std::system_error&) {
        throw;  // a file that cannot be read now may be a good one
    } catch (const std::runtime_error& error) {
        log(LOG_WARNING, std::string("the state cannot be understood and is set aside: ") + error.what());
        set_aside();
        return {};
    }
}

void StateDirectory::save(const State& state) const {
    const auto text = to_json(state).dump(1) + "\n";
    replace_file(file_in(path_), Bytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()),
                 [this](int fd) {
                     give_to_owner_of(path_, fd, file_in(path_));
                     if (::fchmod(fd, 0600) != 0 || ::fsync(fd) != 0)
                         throw_errno("cannot write", file_in(path_));
                 });
    const Fd directory(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory || ::fsync(directory.get()) != 0)
        throw_errno("cannot write", path_);
}

void StateDirectory::set_aside() const {
    std::filesystem::rename(file_in(path_), file_in(path_) + ".bad");
}

pid_t StateDirectory::holder(const std::string& path) {
    const Fd file(::open(lock_in(path).c_str(), O_RDWR | O_CLOEXEC));
    auto lock = whole_file();
    if (!file || ::fcntl(file.get(), F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK)
        return 0;
    return written_pid(path);
}

std::string current_boot_id() {
    std::string id;
    std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
    return id;
}

}  // namespace stek::daemon
