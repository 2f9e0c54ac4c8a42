#include "tests/attack/attempts.hpp"

#include "pkcs11/error.hpp"
#include "tests/attack/worker.hpp"

#include <csignal>
#include <cstdio>
#include <unistd.h>

#include <sys/wait.h>

namespace stek::attack {

namespace {

constexpr unsigned longest = 60;  // seconds; one that hangs ends by SIGALRM, and counts as broken

// The line that the test reads: kind, group, name, answer, use, why, bytes; between tabs.
void tell(const char* kind, const Attempt& attempt, const std::string& answer, const Loot& loot = {}) {
    std::printf("%s\t%s\t%s\t%s\t%s\t%s\t", kind, attempt.group.c_str(), attempt.name.c_str(), answer.c_str(),
                loot.use.c_str(), loot.why.c_str());
    for (const std::uint8_t byte : loot.bytes)
        std::printf("%02x", byte);
    std::printf("\n");
    std::fflush(stdout);
}

int try_one(const Attempt& attempt, const Scene& scene) {
    ::alarm(longest);
    try {
        Worker worker(scene);
        const Loot loot = attempt.act(worker);
        // An errno's name is an answer of 0 or not, too.
        tell(loot.rv == CKR_OK ? "granted" : "refused", attempt,
             loot.said.empty() ? pkcs11::rv_name(loot.rv) : loot.said, loot);
    } catch (const std::exception& error) {
        tell("broken", attempt, error.what());
    }
    return 0;
}

}  // namespace

void try_all(const Attempts& attempts, const Scene& scene) {
    for (const Attempt& attempt : attempts) {
        std::fflush(stdout);
        const pid_t child = ::fork();
        if (child == 0)
            ::_exit(try_one(attempt, scene));
        int status = -1;
        if (child < 0 || ::waitpid(child, &status, 0) != child)
            tell("broken", attempt, "no child");
        else if (WIFSIGNALED(status))
            tell(WTERMSIG(status) == SIGALRM ? "broken" : "crashed", attempt,
                 "the module died of signal " + std::to_string(WTERMSIG(status)));
    }
}

}  // namespace stek::attack
