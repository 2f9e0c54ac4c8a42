#include "daemon/server_processes.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <unistd.h>

#include <sys/stat.h>

namespace stek::daemon {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view deleted = " (deleted)";  // proc(5)

std::string without_deleted(std::string path) {
    if (path.ends_with(deleted))
        path.resize(path.size() - deleted.size());
    return path;
}

/// The mapped file of a line of /proc/PID/maps, with " (deleted)"; empty if it is memory.
std::string_view mapped_file(std::string_view line) {
    const auto slash = line.find('/');
    return slash == std::string_view::npos ? std::string_view() : line.substr(slash);
}

bool read_maps(const fs::path& process, const std::vector<std::string>& provider, ServerProcess& found) {
    std::ifstream maps(process / "maps");
    bool any = false;
    for (std::string line; std::getline(maps, line);) {
        any = true;
        const auto file = mapped_file(line);
        found.has_libssl |= file.find("/libssl.so") != std::string_view::npos;
        for (const auto& path : provider) {
            found.has_provider |=
                file.starts_with(path) && (file.size() == path.size() || file.substr(path.size()) == deleted);
            found.provider_replaced |= file.starts_with(path) && file.substr(path.size()) == deleted;
        }
    }
    return any;
}

}  // namespace

std::vector<ServerProcess> list_processes(const std::string& provider) {
    std::error_code error;
    std::vector<std::string> names{provider};
    if (const auto canonical = fs::canonical(provider, error); !error && canonical != provider)
        names.push_back(canonical.string());
    std::vector<ServerProcess> all;
    for (const auto& entry : fs::directory_iterator("/proc", error)) {
        const auto name = entry.path().filename().string();
        ServerProcess process;
        const auto [end, bad] = std::from_chars(name.data(), name.data() + name.size(), process.pid);
        if (bad != std::errc() || end != name.data() + name.size() || process.pid == ::getpid())
            continue;
        process.program = without_deleted(fs::read_symlink(entry.path() / "exe", error).string());
        // Kernel threads have none, other users' are not shown.
        if (!process.program.empty() && read_maps(entry.path(), names, process))
            all.push_back(std::move(process));
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.pid < b.pid; });
    return all;
}

bool sees_same_directory(pid_t pid, const std::string& directory) {
    struct stat here {
    }, there{};
    if (::stat(directory.c_str(), &here) != 0)
        return true;
    const auto root = "/proc/" + std::to_string(pid) + "/root";
    struct stat process {};
    if (::stat((root + "/").c_str(), &process) != 0)
        return true;  // it has just ended, or is not ours to see
    return ::stat((root + directory).c_str(), &there) == 0 && here.st_dev == there.st_dev &&
           here.st_ino == there.st_ino;
}

}  // namespace stek::daemon
