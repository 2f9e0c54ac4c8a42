#include "daemon/commands.hpp"
#include "daemon/config.hpp"
#include "daemon/exit_codes.hpp"
#include "daemon/fleet/any_config.hpp"
#include "daemon/status.hpp"

#include <csignal>
#include <iostream>
#include <memory>
#include <string>
#include <unistd.h>

#include <CLI/CLI.hpp>

namespace stek::daemon {
namespace {

constexpr unsigned usual_watch = 2, longest_watch = 86400;  // seconds

struct Options {
    std::string file = default_config;
    bool json = false, prometheus = false;
    unsigned watch = usual_watch;
};

std::string text_of(const Status& status, const Options& options) {
    if (options.json)
        return status_json(status);
    return options.prometheus ? status_prometheus(status) : status_table(status);
}

// ECMA-48: home, each line erased to its end, then all below. Nothing flickers, for nothing is blank
// meanwhile.
void redraw(const std::string& text) {
    std::cout << "\033[H";
    for (const char c : text)
        c == '\n' ? std::cout << "\033[K\n" : std::cout << c;
    std::cout << "\033[J" << std::flush;
}

int show(const Options& options, void (*print)(const std::string&)) {
    const auto config = fleet::load_any_config(options.file);
    const auto status = gather_status(config, hear_stekd(config));
    print(text_of(status, options));
    return status.problems.empty() ? exit_ok : exit_findings;
}

void print_once(const std::string& text) {
    std::cout << text << std::flush;
}

void print_again(const std::string& text) {
    static bool first = true;
    std::cout << (first ? "" : "\n") << text << std::flush;
    first = false;
}

int watch(const Options& options) {
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, nullptr);
    const timespec pause{options.watch, 0};
    const bool on_terminal = ::isatty(STDOUT_FILENO) == 1;
    int code = exit_ok;
    do {
        try {
            code = show(options, on_terminal ? redraw : print_again);
        } catch (const ConfigError& error) {  // somebody is at work on it
            std::cerr << "stekctl: " << error.what() << '\n';
            code = exit_config;
        }
    } while (std::cout && sigtimedwait(&stop, nullptr, &pause) < 0);
    return code;
}

}  // namespace

void add_status(CLI::App& app, Chosen& chosen) {
    auto options = std::make_shared<Options>();
    auto* status = app.add_subcommand("status", "shows keys, tokens, workers and tickets");
    status->add_option("--config", options->file, "stekd's configuration")->capture_default_str();
    auto* json = status->add_flag("--json", options->json, "for programs");
    status->add_flag("--prometheus", options->prometheus, "as metrics")->excludes(json);
    auto* again = status->add_option("--watch", options->watch, "again every so many seconds (2)")
                      ->expected(0, 1)
                      ->type_name("[SECONDS]")
                      ->check(CLI::Range(1U, longest_watch));
    status->callback([&chosen, options, again] {
        const bool repeat = again->count() != 0;
        chosen = [options, repeat] { return repeat ? watch(*options) : show(*options, print_once); };
    });
}

}  // namespace stek::daemon
