// `stekctl fleet ceremony` alone, to be killed.
#include "daemon/fleet/command_ceremony.hpp"

#include <exception>
#include <iostream>

#include <CLI/CLI.hpp>

int main(int argc, char** argv) {
    CLI::App app("", "fleet");
    stek::daemon::Chosen chosen;
    stek::fleet::add_ceremony(app, chosen);
    try {
        app.parse(argc, argv);
        return chosen();
    } catch (const std::exception& error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
