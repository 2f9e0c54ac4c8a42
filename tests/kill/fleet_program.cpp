// `stekctl fleet` alone, to be killed: stekctl itself may not be traced.
#include "daemon/fleet/command_fleet.hpp"

#include <exception>
#include <iostream>

#include <CLI/CLI.hpp>

int main(int argc, char** argv) {
    CLI::App app("", "stekctl");
    stek::daemon::Chosen chosen;
    stek::fleet::add_fleet(app, chosen);
    try {
        app.parse(argc, argv);
        return chosen();
    } catch (const std::exception& error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
