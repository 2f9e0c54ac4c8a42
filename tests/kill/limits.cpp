#include "tests/kill/limits.hpp"

#include "tests/fixtures/workspace.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <sstream>
#include <string>
#include <system_error>
#include <unistd.h>

namespace stek::test {

Lowered::Lowered(__rlimit_resource resource, const std::vector<Limit>& limits) : resource_(resource) {
    for (const auto& [pid, value] : limits) {
        rlimit before{};
        if (::prlimit(pid, resource, nullptr, &before) != 0)
            throw std::system_error(errno, std::generic_category(), "prlimit");
        const rlimit lower{value, before.rlim_max};
        if (::prlimit(pid, resource, &lower, nullptr) != 0)
            throw std::system_error(errno, std::generic_category(), "prlimit");
        before_.push_back({pid, before});
    }
}

Lowered::~Lowered() {
    for (const auto& [pid, limit] : before_)
        ::prlimit(pid, resource_, &limit, nullptr);
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
