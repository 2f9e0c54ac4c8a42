// A TLS program that serves when it is told to and is idle otherwise; it knows nothing of the provider. A
// letter on standard input is an order, its answer a line on standard output:
//
//     OPENSSL_CONF=... idle_server
//
//     h   a full handshake and a resumed one, in memory       "ok" or "failed"
//     t   the same in a thread that sleeps ever after         "ok" or "failed"
//     f   forks; the child makes handshakes and is idle       its pid, or "failed"
//     i   forks; the child is idle from the beginning         its pid
//     F   forks; the child makes handshakes and exits         "ok" or "failed", when it has
//     s   from now on no thread and no process can be made    "ok"
//     x   exits by exit(3), as the end of the input does
#include "tests/fixtures/child.hpp"
#include "tests/fixtures/memory_tls.hpp"

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <iterator>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <thread>

#include <sys/prctl.h>
#include <sys/syscall.h>

using namespace stek::tests;

namespace {

struct Server {
    Identity identity{"a.example"};
    Ctx server = server_ctx(identity);

    [[nodiscard]] bool serve() const {
        const Ctx client = client_ctx(TLS1_3_VERSION);
        const Handshake first = connect(client.get(), server.get());
        return first.done && !first.ticket.empty() &&
               connect(client.get(), server.get(), first.session.get()).resumed;
    }
};

[[noreturn]] void idle() {
    for (;;) {
        ::pause();
    }
}

/// As where pids.max is reached, or a sandbox does not want it.
bool forbid_threads() {
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{std::size(filter), filter};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

void answer(bool good) {
    std::puts(good ? "ok" : "failed");
}

}  // namespace

int main() {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    const Server server;
    for (int order = 0; (order = std::getchar()) != EOF && order != 'x';) {
        switch (order) {
            case 'h':
                answer(server.serve());
                break;
            case 't': {
                std::promise<bool> served;
                auto good = served.get_future();
                std::thread([&server, served = std::move(served)]() mutable {
                    served.set_value(server.serve());
                    idle();
                }).detach();
                answer(good.get());
                break;
            }
            case 'f':
            case 'i':
                if (::fork() == 0) {
                    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
                    if (order == 'i' || server.serve()) {
                        std::printf("%d\n", ::getpid());
                    } else {
                        answer(false);
                    }
                    idle();
                }
                break;
            case 'F':
                answer(in_child([&] { return server.serve() ? 0 : 1; }) == 0);
                break;
            case 's':
                answer(forbid_threads());
                break;
            default:
                return 2;
        }
    }
    std::exit(0);
}
