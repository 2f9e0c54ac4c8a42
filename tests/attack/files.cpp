#include "tests/attack/files.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>
#include <utility>

#include <sys/acl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

namespace fs = std::filesystem;

namespace stek::attack {

namespace {

/// The outcome of a system call that gives -1 when it is refused.
Loot system_call(long result, const std::string& use) {
    const int error = errno;
    Loot loot;
    loot.rv = result < 0 ? CKR_FUNCTION_FAILED : CKR_OK;
    loot.said = result < 0 ? strerrorname_np(error) : "done";
    if (result >= 0)
        loot.use = use;
    return loot;
}

void row(Attempts& to, const std::string& name, std::function<Loot()> act) {
    to.push_back({"file", name, [act = std::move(act)](Worker&) { return act(); }});
}

Loot opened(const std::string& path, int flags) {
    return system_call(::open(path.c_str(), flags | O_CLOEXEC, 0666), "opened");
}

void writes_to(Attempts& to, const std::string& name, const std::string& path) {
    row(to, "write " + name, [path] { return opened(path, O_WRONLY); });
    row(to, "truncate " + name, [path] { return opened(path, O_WRONLY | O_TRUNC); });
    row(to, "remove " + name, [path] { return system_call(::unlink(path.c_str()), "removed"); });
    row(to, "rename " + name,
        [path] { return system_call(::rename(path.c_str(), (path + ".gone").c_str()), "renamed"); });
    row(to, "chmod " + name, [path] { return system_call(::chmod(path.c_str(), 0666), "opened to all"); });
    row(to, "give an ACL to " + name, [path] {
        const auto acl = acl_from_text("u::rwx,g::rwx,o::rwx");
        return system_call(acl_set_file(path.c_str(), ACL_TYPE_ACCESS, acl), "opened to all");
    });
    row(to, "chown " + name,
        [path] { return system_call(::chown(path.c_str(), ::getuid(), ::getgid()), "it is ours"); });
}

void appears_in(Attempts& to, const std::string& name, const std::string& directory) {
    row(to, "make a file in " + name, [directory] {
        return opened(directory + "/0ab408b7-b2e2-0ba2-2b3c-919900000000.object",
                      O_WRONLY | O_CREAT | O_EXCL);
    });
    row(to, "make a directory in " + name, [directory] {
        return system_call(::mkdir((directory + "/0ab408b7-b2e2-0ba2-2b3c-919900000000").c_str(), 0755),
                           "made");
    });
    row(to, "make a link in " + name,
        [directory] { return system_call(::symlink("/tmp", (directory + "/planted").c_str()), "made"); });
    row(to, "put another thing in the place of " + name, [directory] {
        return system_call(::rename(directory.c_str(), (directory + ".gone").c_str()), "moved away");
    });
}

void process(Attempts& to, const std::string& stekd) {
    const pid_t pid = static_cast<pid_t>(std::stol(stekd));
    row(to, "ptrace stekd",
        [pid] { return system_call(::ptrace(PTRACE_ATTACH, pid, nullptr, nullptr), "attached"); });
    row(to, "ptrace stekd without stopping it",
        [pid] { return system_call(::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr), "attached"); });
    for (const char* what : {"mem", "maps", "environ", "auxv", "syscall"})
        for (const int flags : {O_RDONLY, O_RDWR})
            row(to, std::string("open stekd's /proc/PID/") + what + (flags == O_RDWR ? " to write" : ""),
                [=] {
                    const std::string path = "/proc/" + stekd + "/" + what;
                    const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
                    char byte = 0;
                    // Some of these are refused only when they are read.
                    return system_call(fd < 0 || flags == O_RDWR   ? fd
                                       : ::read(fd, &byte, 1) == 1 ? 0
                                                                   : -1,
                                       "open");
                });
    row(to, "list stekd's open files", [=] {
        std::error_code error;
        const fs::directory_iterator list("/proc/" + stekd + "/fd", error);
        errno = error.value();
        return system_call(error ? -1 : 0, "listed");
    });
    row(to, "process_vm_readv from stekd", [pid] {
        char here[64];
        const iovec local{here, sizeof here}, remote{reinterpret_cast<void*>(0x400000), sizeof here};
        return system_call(::process_vm_readv(pid, &local, 1, &remote, 1, 0), "read");
    });
    row(to, "take one of stekd's file descriptors", [pid] {
        const int process = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
        return system_call(::syscall(SYS_pidfd_getfd, process, 3, 0), "taken");
    });
    row(to, "kill stekd", [pid] { return system_call(::kill(pid, SIGTERM), "killed"); });
}

}  // namespace

void add_files(Attempts& to, const std::string& directory, const std::string& stekd) {
    const auto in = [&](const char* name) { return directory + "/" + name; };
    for (const auto& token : fs::directory_iterator(in("tokens"))) {
        std::error_code closed;
        const fs::directory_iterator files(token.path(), closed);
        if (closed) {  // the vault's, then
            for (const char* file : {"token.object", "generation"})
                row(to, std::string("read the vault's ") + file,
                    [path = token.path() / file] { return opened(path, O_RDONLY); });
            row(to, "list the vault's directory",
                [path = token.path()] { return opened(path, O_RDONLY | O_DIRECTORY); });
            appears_in(to, "the vault's directory", token.path());
            continue;
        }
        bool pair_tried = false, pair_lock_tried = false;
        for (const auto& file : files) {
            const std::string name = file.path().filename();
            const bool of_pair = name.size() > 30;
            bool& tried = name.ends_with(".lock") ? pair_lock_tried : pair_tried;
            if (of_pair && std::exchange(tried, true))
                row(to, "write another half's file", [path = file.path()] { return opened(path, O_RDWR); });
            else
                writes_to(to,
                          of_pair ? name.ends_with(".lock") ? "a half's lock" : "a half's file"
                                  : "the token's " + name,
                          file.path());
        }
        appears_in(to, "the ticket token's directory", token.path());
    }
    appears_in(to, "tokens/", in("tokens"));
    appears_in(to, "run/", in("run"));
    writes_to(to, "the ring", in("run/keyring"));
    row(to, "rename a ring of one's own over the ring", [=, ring = in("run/keyring")] {
        const std::string own = directory + "/run/stats/own-ring";
        ::close(::open(own.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        const Loot loot = system_call(::rename(own.c_str(), ring.c_str()), "the ring is another");
        ::unlink(own.c_str());
        return loot;
    });
    for (const char* file : {"stekd.toml", "openssl.cnf", "softhsm2.conf"}) {
        row(to, std::string("write ") + file, [path = in(file)] { return opened(path, O_WRONLY); });
        row(to, std::string("replace ") + file,
            [path = in(file)] { return system_call(::unlink(path.c_str()), "removed"); });
    }
    for (const char* file : {"pins/vault.pin", "pins/vault.so-pin", "pins/ticket.pin", "pins/ticket.so-pin",
                             "state/state.json", "state/lock", "state/tokens"})
        row(to, std::string("read ") + file, [path = in(file)] { return opened(path, O_RDONLY); });
    for (const char* file : {"run/stats/2.2", "state/state.json"})
        row(to, std::string("write another's ") + file, [path = in(file)] { return opened(path, O_RDWR); });
    row(to, "remove another's counters",
        [path = in("run/stats/2.2")] { return system_call(::unlink(path.c_str()), "removed"); });
    row(to, "speak to stekd", [path = in("run/control")] {
        const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        return system_call(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address),
                           "connected");
    });
    row(to, "put a socket of one's own in the control's place",
        [path = in("run/control")] { return system_call(::unlink(path.c_str()), "removed"); });
    row(to, "mount over the ring", [path = in("run")] {
        return system_call(::mount("none", path.c_str(), "tmpfs", 0, nullptr), "mounted");
    });
    process(to, stekd);
}

}  // namespace stek::attack
