// Open directories and what is in them: the parts of the directory engine.
#pragma once

#include "daemon/fleet/engine.hpp"
#include "provider/file.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace stek::fleet {

/// An open directory, and its path for messages. What is in it is reached through the descriptor, so that
/// nobody changes what a path means half-way. All functions throw std::system_error naming the path.
struct Directory {
    Fd fd;
    std::string path;
    [[nodiscard]] std::string path_of(const std::string& name) const { return path + "/" + name; }
};

Directory open_root(const std::string& path);
/// Nothing if there is none.
std::optional<Directory> open_bucket(const Directory& root, const std::string& bucket);
/// Makes it if need be.
Directory make_bucket(const Directory& root, const std::string& bucket);
/// What was linked, renamed and removed in it stays so after a power cut.
void sync_directory(const Directory& directory);

/// The names of its regular files that begin so, in no order; with a dot, too.
std::vector<std::string> files_in(const Directory& directory, std::string_view prefix);

/// What the system refuses is an EngineError to the engine's users.
template <class Act>
auto with_engine_errors(Act&& act) {
    try {
        return act();
    } catch (const std::system_error& error) {
        throw EngineError(error.what());
    }
}

}  // namespace stek::fleet
