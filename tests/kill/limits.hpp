// Resource limits of processes that run already.
#pragma once

#include <vector>

#include <sys/resource.h>
#include <sys/types.h>

namespace stek::test {

/// Lowers a soft limit of these processes, RLIMIT_NOFILE or RLIMIT_AS, and puts it back at the end of its
/// life. Of those that are gone by then nothing is said. Throws std::runtime_error.
class Lowered {
  public:
    struct Limit {
        pid_t pid;
        rlim_t value;
    };
    Lowered(__rlimit_resource resource, const std::vector<Limit>& limits);
    Lowered(const Lowered&) = delete;
    Lowered& operator=(const Lowered&) = delete;
    ~Lowered();

  private:
    struct Before {
        pid_t pid;
        rlimit limit;
    };
    __rlimit_resource resource_;
    std::vector<Before> before_;
};

/// The number above all descriptors that it has open: as RLIMIT_NOFILE, none more can be had.
rlim_t descriptors_in_use(pid_t pid);
/// Bytes: as RLIMIT_AS, not a page more can be mapped.
rlim_t address_space_in_use(pid_t pid);

}  // namespace stek::test
