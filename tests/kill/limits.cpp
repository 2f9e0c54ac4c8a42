#include "tests/kill/limits.hpp"

#include "tests/fixtures/child.hpp"
#include "tests/fixtures/process.hpp"
#include "tests/fixtures/workspace.hpp"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unistd.h>

namespace stek::test {

namespace {

/// The first number of a line of /proc/PID/status: the real id.
unsigned id_of(pid_t pid, const std::string& line) {
    const auto status = read_file("/proc/" + std::to_string(pid) + "/status");
    return static_cast<unsigned>(std::stoul(status.substr(status.find("\n" + line + ":") + line.size() + 2)));
}

/// As the process's own user, who may: root may only with CAP_SYS_RESOURCE, which containers lack.
bool set_limit(pid_t pid, __rlimit_resource resource, const rlimit& limit) {
    const gid_t group = id_of(pid, "Gid");
    const uid_t user = id_of(pid, "Uid");
    return tests::in_child([&] {
               const bool done = ::setresgid(group, group, group) == 0 &&
                                 ::setresuid(user, user, user) == 0 &&
                                 ::prlimit(pid, resource, &limit, nullptr) == 0;
               return done ? 0 : 1;
           }) == 0;
}

/// The line of /proc/PID/limits; "unlimited" is RLIM_INFINITY.
rlimit limit_of(pid_t pid, const std::string& name) {
    const auto limits = read_file("/proc/" + std::to_string(pid) + "/limits");
    std::istringstream line(limits.substr(limits.find(name) + name.size()));
    const auto next = [&] {
        std::string text;
        line >> text;
        return text == "unlimited" ? RLIM_INFINITY : std::stoul(text);
    };
    const auto soft = next();
    return {soft, next()};
}

}  // namespace

Lowered::Lowered(__rlimit_resource resource, const std::vector<Limit>& limits) : resource_(resource) {
    for (const auto& [pid, value] : limits) {
        const rlimit before =
            limit_of(pid, resource == RLIMIT_NOFILE ? "Max open files" : "Max address space");
        if (!set_limit(pid, resource, {value, before.rlim_max}))
            throw std::runtime_error("prlimit of process " + std::to_string(pid));
        before_.push_back({pid, before});
    }
}

Lowered::~Lowered() {
    for (const auto& [pid, limit] : before_) {
        if (alive(pid))
            set_limit(pid, resource_, limit);
    }
}

rlim_t descriptors_in_use(pid_t pid) {
    rlim_t highest = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd"))
        highest = std::max<rlim_t>(highest, std::stoul(entry.path().filename()) + 1);
    return highest;
}

rlim_t address_space_in_use(pid_t pid) {
    std::istringstream pages(read_file("/proc/" + std::to_string(pid) + "/statm"));
    rlim_t size = 0;
    pages >> size;
    return size * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace stek::test
