#include "daemon/premises.hpp"

#include "daemon/access.hpp"

#include <filesystem>
#include <system_error>
#include <toml++/toml.h>

#include <sys/un.h>

namespace stek::daemon {
namespace {

namespace fs = std::filesystem;

/// "FILE:LINE: KEY: what". The file is read once more for the line: it is needed in this case only.
[[noreturn]] void fail(const Config& config, const std::string& key, const std::string& what) {
    auto where = config.file;
    try {
        const auto table = toml::parse_file(config.file);
        if (const auto node = table.at_path(key))
            where += ":" + std::to_string(node.node()->source().begin.line);
    } catch (
        const toml::parse_error&) {  // NOLINT(bugprone-empty-catch): it has changed since; the key is enough
    }
    throw ConfigError(where + ": " + key + ": " + what);
}

void require_users(const Config& config) {
    try {
        const Readers readers(config.readers);
    } catch (const ConfigError& error) {
        fail(config, "readers",
             std::string(error.what()) + "; each must be a user of this machine (getent passwd)");
    }
}

void require_directory_for(const Config& config, const std::string& key, const std::string& path) {
    const auto directory = fs::path(path).parent_path();
    std::error_code unseen;
    const auto status = fs::status(directory, unseen);
    if (status.type() == fs::file_type::not_found)
        fail(config, key,
             "there is no directory " + directory.string() + "; it must be in one that is there");
    if (fs::status_known(status) && !fs::is_directory(status))
        fail(config, key, directory.string() + " is no directory; it must be in one that is there");
}

void require_socket(const Config& config) {
    constexpr auto longest = sizeof(sockaddr_un::sun_path) - 1;
    if (config.control.empty())
        return;
    if (config.control.size() > longest)
        fail(config, "paths.control",
             "must be " + std::to_string(longest) + " bytes at most, not " +
                 std::to_string(config.control.size()) + ": it is a socket's path");
    require_directory_for(config, "paths.control", config.control);
}

void require_module_config(const Config& config) {
    const auto& file = config.module_config;
    std::error_code unseen;
    const auto status = fs::status(file, unseen);
    if (file.empty() || !fs::status_known(status) || fs::is_regular_file(status))
        return;
    fail(config, "paths.module_config",
         "there is no file " + file +
             "; it must be SoftHSM's configuration (softhsm2.conf(5)), or be left out");
}

}  // namespace

void require_premises(const Config& config) {
    require_users(config);
    require_directory_for(config, "paths.state", config.state);
    if (!config.keyring.empty())  // a fleet's origin or vault has none
        require_directory_for(config, "paths.keyring", config.keyring);
    if (!config.stats.empty())
        require_directory_for(config, "paths.stats", config.stats);
    require_socket(config);
    require_module_config(config);
}

}  // namespace stek::daemon
