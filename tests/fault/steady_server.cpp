// A TLS program that knows nothing of the provider: it makes resumed handshakes in memory for so long, in so
// many threads, and shows whoever watches it when its steady state begins and ends.
//
//     OPENSSL_CONF=... steady_server MILLISECONDS THREADS      prints "HANDSHAKES MILLISECONDS"
//
// It shows it twice: by access(2) of two paths that are not there (strace) and by calling lock_watch(), where
// a preloaded library has that.
#include "tests/fixtures/memory_tls.hpp"

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <thread>
#include <unistd.h>

using namespace stek::tests;

namespace {

using Clock = std::chrono::steady_clock;
constexpr unsigned warm_up =
    100;  // whatever is made when first used is then there: sessions, counters, DRBGs

void show(const char* path, int watching) {
    if (auto* watch = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "lock_watch"))) {
        watch(watching);
    }
    static_cast<void>(access(path, F_OK));
}

}  // namespace

int main(int, char** arguments) {
    const std::chrono::milliseconds length(std::strtol(arguments[1], nullptr, 10));
    const int count = std::atoi(arguments[2]);
    const Identity identity("a.example");
    const Ctx server = server_ctx(identity);
    std::atomic<bool> stop{false};
    std::atomic<unsigned> good{0};
    std::atomic<bool> failed{false};
    std::barrier<> step(count + 1);
    std::vector<std::jthread> threads;
    for (int i = 0; i < count; ++i) {
        threads.emplace_back([&] {
            const Ctx clients[] = {client_ctx(TLS1_2_VERSION), client_ctx(TLS1_3_VERSION)};
            Session sessions[2];
            const auto both = [&](bool must_resume) {
                for (int version = 0; version < 2; ++version) {
                    Handshake next = connect(clients[version].get(), server.get(), sessions[version].get());
                    failed = failed || !next.done || next.ticket.empty() || next.resumed != must_resume;
                    sessions[version] = std::move(next.session);
                }
            };
            both(false);
            for (unsigned n = 0; n < warm_up; ++n) {
                both(true);
            }
            step.arrive_and_wait();
            step.arrive_and_wait();
            while (!stop.load(std::memory_order_relaxed)) {
                both(true);
                good.fetch_add(2, std::memory_order_relaxed);
            }
            step.arrive_and_wait();
            step.arrive_and_wait();
        });
    }
    step.arrive_and_wait();
    show("/steady/begin", 1);
    const auto begun = Clock::now();
    step.arrive_and_wait();
    std::this_thread::sleep_for(length);
    stop = true;
    step.arrive_and_wait();
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begun);
    show("/steady/end", 0);
    step.arrive_and_wait();
    std::printf("%u %ld\n", good.load(), static_cast<long>(took.count()));
    return failed ? 1 : 0;
}
