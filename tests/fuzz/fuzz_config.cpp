// Feeds load_config() with a file in memory. Only ConfigError may be thrown; it begins with the file's name,
// and with the line where there is one. What passes is within the bounds that are checked again elsewhere.
#include "daemon/config.hpp"
#include "provider/key_ring.hpp"
#include "tests/fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using stek::fuzz::require;
    static const stek::fuzz::Directory directory;
    const std::string file = directory.write("stekd.toml", stek::fuzz::text_of(data, size));
    try {
        const auto config = stek::daemon::load_config(file);
        require(config.file == file, "the file's name is kept");
        require(stek::is_location(config.location), "a location that a ring can have");
        check_numbers(config.policy, config.stale_epochs, {"period", "session_timeout", "stale_epochs"});
        require(config.ring_version == 1, "a ring version that exists");
        require(config.vault.module_path() && config.vault.module_path() == config.ticket.module_path(),
                "both tokens are behind one module");
        for (const auto* path : {&config.provider, &config.keyring, &config.state})
            require(path->starts_with('/'), "paths that must be there are absolute");
        for (const auto* path : {&config.remake_pins, &config.module_config, &config.stats, &config.control,
                                 &config.server_config, &config.metrics})
            require(path->empty() || path->starts_with('/'), "paths that are there are absolute");
        for (const auto& reader : config.readers)
            require(!reader.empty(), "a reader has a name");
    } catch (const stek::daemon::ConfigError& error) {
        const std::string_view what = error.what();
        require(what.starts_with(file + ":"), "an error names the file");
        const auto behind = what.substr(file.size() + 1);
        require(behind.find_first_of("0123456789") == 0, "an error names the line");
    }
    return 0;
}
