// Running processes as /proc shows them: which program, and whether it has the provider.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace stek::daemon {

struct ServerProcess {
    pid_t pid = 0;
    std::string program;      ///< the file it was started from; " (deleted)" cut off
    bool has_libssl = false;  ///< speaks TLS by OpenSSL
    bool has_provider = false;
    bool provider_replaced = false;  ///< it has one that is no longer the file of that name
};

/// All whose maps this process may read; root reads all. Ours is left out.
std::vector<ServerProcess> list_processes(const std::string& provider);

/// Whether the directory is the same one in the process's root and mount namespace as here. True also if it
/// cannot be told.
bool sees_same_directory(pid_t pid, const std::string& directory);

}  // namespace stek::daemon
