#include "traced_kill.hpp"

#include "tests/fixtures/workspace.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <stdexcept>
#include <system_error>
#include <unistd.h>

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

namespace stek::test {
namespace {

constexpr std::chrono::seconds patience(60);

void must(long result, const char* what) {
    if (result == -1)
        throw std::system_error(errno, std::generic_category(), what);
}

/// The calls that change files; names for the report.
const char* changing_call(std::uint64_t number) {
    switch (number) {
#define STEK_CALL(name) \
    case SYS_##name:    \
        return #name;
        STEK_CALL(openat)
        STEK_CALL(write)
        STEK_CALL(pwrite64)
        STEK_CALL(writev)
        STEK_CALL(ftruncate)
        STEK_CALL(fallocate)
        STEK_CALL(fsync)
        STEK_CALL(rename)
        STEK_CALL(renameat2)
        STEK_CALL(link)
        STEK_CALL(unlink)
        STEK_CALL(unlinkat)
        STEK_CALL(mkdir)
        STEK_CALL(rmdir)
        STEK_CALL(chmod)
        STEK_CALL(fchmod)
        STEK_CALL(fchown)
        STEK_CALL(setxattr)
        STEK_CALL(fsetxattr)
#undef STEK_CALL
        default:
            return nullptr;
    }
}

/// A tracee, from the shell that waits to become it to its end.
class Tracee {
  public:
    explicit Tracee(pid_t pid) : pid_(pid) {
        const auto stopped = [pid] {
            return read_file("/proc/" + std::to_string(pid) + "/stat").find(") T ") != std::string::npos;
        };
        if (!eventually(stopped, patience))
            throw std::runtime_error("the program did not stop before its start");
        must(::ptrace(PTRACE_SEIZE, pid, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), "PTRACE_SEIZE");
        ::kill(pid, SIGCONT);
    }

    /// On to the next stop at a system call; false if the program has ended.
    bool next() {
        int signal = 0;
        for (;;) {
            int status = 0;
            must(::waitpid(pid_, &status, __WALL), "waitpid");
            if (!WIFSTOPPED(status)) {
                exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
                return false;
            }
            if (running_ && WSTOPSIG(status) == (SIGTRAP | 0x80)) {
                running_ = false;
                must(::ptrace(PTRACE_GET_SYSCALL_INFO, pid_, sizeof info_, &info_), "the call");
                return true;
            }
            const bool a_signal = status >> 16 == 0 && WSTOPSIG(status) != SIGTRAP;
            signal = a_signal ? WSTOPSIG(status) : 0;
            go_on(signal);
        }
    }
    void go_on(int signal = 0) {
        running_ = true;
        must(::ptrace(PTRACE_SYSCALL, pid_, nullptr, signal), "PTRACE_SYSCALL");
    }

    [[nodiscard]] bool entering() const noexcept { return info_.op == PTRACE_SYSCALL_INFO_ENTRY; }
    /// At an entry: the name of a call that may change a file; else null.
    [[nodiscard]] const char* change() const noexcept {
        const auto& call = info_.entry;
        if (call.nr == SYS_openat && (call.args[2] & (O_CREAT | O_TRUNC)) == 0)
            return nullptr;
        const bool a_log_line = call.nr == SYS_write && call.args[0] <= STDERR_FILENO;
        return a_log_line ? nullptr : changing_call(call.nr);
    }
    /// At an entry: the path of an openat(2) that may create it; else empty.
    [[nodiscard]] std::string created() const {
        if (info_.entry.nr != SYS_openat || (info_.entry.args[2] & O_CREAT) == 0)
            return {};
        // Page by page: what lies beyond its end may not be there.
        constexpr std::size_t page = 4096;
        std::string text;
        for (std::uint64_t at = info_.entry.args[1]; text.size() < page;) {
            std::array<char, page> part{};
            iovec here{part.data(), page - at % page}, there{reinterpret_cast<void*>(at), here.iov_len};
            if (::process_vm_readv(pid_, &here, 1, &there, 1, 0) <= 0)
                return {};
            const auto size = ::strnlen(part.data(), here.iov_len);
            text.append(part.data(), size);
            if (size < here.iov_len)
                break;
            at += size;
        }
        return text;
    }
    [[nodiscard]] int exit_code() const noexcept { return exit_code_; }
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  private:
    pid_t pid_;
    bool running_ = true;
    __ptrace_syscall_info info_{};
    int exit_code_ = -1;
};

}  // namespace

TracedRun run_traced(const Arguments& argv, const Environment& environment, const KillPoint& point) {
    const Workspace scratch("traced");
    const auto log = scratch.path() / "output";
    // It stops itself before it becomes the program: nothing of that is missed.
    Arguments waiting{"/bin/sh", "-c", "kill -STOP $$; exec \"$@\"", "sh"};
    waiting.insert(waiting.end(), argv.begin(), argv.end());
    Process process(waiting, environment, log);
    Tracee tracee(process.pid());
    TracedRun result;
    bool counting = false;
    unsigned stops = 0;
    const char* change = nullptr;
    while (tracee.next()) {
        if (tracee.entering()) {
            counting = counting || point.from(tracee.created());
            change = counting ? tracee.change() : nullptr;
            result.calls += counting ? 1 : 0;
        }
        if (change != nullptr && ++stops == point.stop) {
            result.killed = true;
            result.where = std::string(change) + (tracee.entering() ? ", entry" : ", exit");
            process.signal(SIGKILL);
            if (!process.wait(patience))
                throw std::runtime_error("a killed program still runs");
            result.output = read_file(log);
            return result;
        }
        tracee.go_on();
    }
    result.exit_code = tracee.exit_code();
    result.output = read_file(log);
    return result;
}

}  // namespace stek::test
