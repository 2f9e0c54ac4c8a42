#include "tests/bench/side.hpp"

#include <array>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <unistd.h>

#include <sys/wait.h>

namespace stek::tests {

namespace {

/// Sides that were made later hold our end of the pipe too: closing it would not end the child.
constexpr unsigned no_more = 0;

std::array<int, 2> make_pipe() {
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0) {
        throw std::runtime_error("no pipe");
    }
    return ends;
}

/// Never returns, and runs none of the parent's destructors.
[[noreturn]] void serve(const std::function<Side::Answer()>& prepare, int in, int out) {
    try {
        const auto answer = prepare();
        unsigned count = 0;
        while (read(in, &count, sizeof count) == sizeof count && count != no_more) {
            const double figure = answer(count);
            if (write(out, &figure, sizeof figure) != sizeof figure) {
                _exit(1);
            }
        }
        _exit(0);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        _exit(1);
    }
}

}  // namespace

Side::Side(const std::function<Answer()>& prepare) {
    const auto ask = make_pipe();
    const auto answer = make_pipe();
    child_ = fork();
    if (child_ == 0) {
        close(ask[1]);
        close(answer[0]);
        serve(prepare, ask[0], answer[1]);
    }
    close(ask[0]);
    close(answer[1]);
    to_child_ = ask[1];
    from_child_ = answer[0];
}

Side::~Side() {
    // A child that is gone already needs no word.
    static_cast<void>(!write(to_child_, &no_more, sizeof no_more));
    close(to_child_);
    close(from_child_);
    waitpid(child_, nullptr, 0);
}

double Side::ask(unsigned count) {
    double figure = 0;
    if (write(to_child_, &count, sizeof count) != sizeof count ||
        read(from_child_, &figure, sizeof figure) != sizeof figure) {
        throw std::runtime_error("the measured process failed");
    }
    return figure;
}

}  // namespace stek::tests
