#include "daemon/commands.hpp"
#include "daemon/config.hpp"
#include "daemon/status.hpp"

#include <memory>

#include <CLI/CLI.hpp>

namespace stek::daemon {

void add_status(CLI::App& app, Chosen& chosen) {
    struct Options {
        std::string file = default_config;
        bool json = false;
    };
    auto options = std::make_shared<Options>();
    auto* status = app.add_subcommand("status", "shows keys, tokens and counters");
    status->add_option("--config", options->file, "stekd's configuration")->capture_default_str();
    status->add_flag("--json", options->json, "for programs");
    status->callback([&chosen, options] {
        chosen = [options] { return print_status(load_config(options->file), options->json); };
    });
}

}  // namespace stek::daemon
