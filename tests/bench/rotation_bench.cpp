// A rotation of stekd's: from the edge of an epoch to the ring in place and the old chain key gone. The pair,
// which it makes ahead, is measured beside it. Aim: under 100 ms besides the pair.
//
// The period is a second, for which a pair serves ten minutes; a rotation that makes one is an outlier here.
#include "daemon/rotation.hpp"
#include "tests/bench/results.hpp"
#include "tests/token/stekd_instance.hpp"

#include <chrono>
#include <functional>
#include <stdexcept>
#include <thread>

#include <openssl/crypto.h>

using namespace stek;
using namespace stek::tests;

namespace {

constexpr unsigned rotations = 41;

double thread_milliseconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

struct Taken {
    std::vector<double> wall, cpu;  ///< milliseconds
    void take(const std::function<void()>& work) {
        const auto begun = std::chrono::steady_clock::now();
        const double cpu_begun = thread_milliseconds();
        work();
        cpu.push_back(thread_milliseconds() - cpu_begun);
        wall.push_back(
            std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count());
    }
    void tell_as(const char* what) const {
        for (const auto& [kind, figures] : {std::pair(", wall", &wall), std::pair(", CPU", &cpu)}) {
            tell({.title = "stekd, both tokens on SoftHSM",
                  .subject = std::string(what) + kind,
                  .unit = "ms",
                  .figure = spread_of(*figures),
                  .ratio = {},
                  .aim = {}});
        }
    }
};

Taken rotate(daemon::Rotation& rotation) {
    Taken taken;
    auto next = rotation.run();
    while (taken.wall.size() < rotations) {
        std::this_thread::sleep_until(std::chrono::system_clock::from_time_t(next.edge));
        const auto before = rotation.ring().generation;
        taken.take([&] { next = rotation.run(); });
        if (rotation.ring().generation == before)
            throw std::runtime_error("an edge without a new ring");
    }
    return taken;
}

// The yardstick: what happens ahead of time, and at a low priority.
Taken make_pairs(const daemon::Config& config) {
    daemon::TokenClaims claims;
    daemon::Tokens tokens(config, claims);
    Taken taken;
    for (unsigned i = 0; i < rotations / 2; ++i) {
        PairId id{};
        taken.take([&] { id = make_ticket_pair(tokens.ticket(), config.private_pairs).id; });
        destroy_ticket_pair(tokens.ticket(), id);
    }
    return taken;
}

}  // namespace

int main() {
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
    const test::StekdInstance instance(1, 3);
    const auto config = daemon::load_config(instance.config());
    {
        daemon::Rotation rotation(config);
        rotate(rotation).tell_as("a rotation (aim: 100 ms)");
    }
    make_pairs(config).tell_as("an RSA-3072 pair, made ahead");
    return 0;
}
