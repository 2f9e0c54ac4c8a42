// A program on a terminal of its own.
#pragma once

#include "tests/fixtures/process.hpp"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <pty.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

#include <sys/wait.h>

namespace stek::tests {

/// Runs it to the end with a terminal for all three streams, `typed` on it. Killed after 60 s.
inline test::Outcome run_on_terminal(const test::Arguments& command, std::string_view typed) {
    int terminal = -1;
    const pid_t pid = ::forkpty(&terminal, nullptr, nullptr, nullptr);
    if (pid < 0)
        throw std::runtime_error("no terminal");
    if (pid == 0) {
        std::vector<char*> argv;
        for (const auto& argument : command)
            argv.push_back(const_cast<char*>(argument.c_str()));
        argv.push_back(nullptr);
        ::alarm(60);
        ::execv(argv[0], argv.data());
        ::_exit(127);
    }
    if (::write(terminal, typed.data(), typed.size()) != static_cast<ssize_t>(typed.size()))
        throw std::runtime_error("nothing can be typed");
    test::Outcome outcome{-1, {}};
    char some[4096];
    // When the last to have it open is gone, read() fails with EIO.
    for (ssize_t n = 0; (n = ::read(terminal, some, sizeof some)) > 0;)
        outcome.output.append(some, static_cast<std::size_t>(n));
    int status = 0;
    ::waitpid(pid, &status, 0);
    ::close(terminal);
    outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return outcome;
}

}  // namespace stek::tests
