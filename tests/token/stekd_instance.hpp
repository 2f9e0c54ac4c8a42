// stekd and stekctl as programs, on an instance in a directory of the test's own.
#pragma once

#include "provider/key_ring.hpp"
#include "tests/fixtures/process.hpp"
#include "tests/fixtures/workspace.hpp"

#include <csignal>
#include <ctime>
#include <optional>
#include <set>

namespace stek::test {

/// `stekctl init` in a fresh directory; the daemon is started when asked for.
class StekdInstance {
  public:
    explicit StekdInstance(unsigned period = 3600, unsigned session_timeout = 7200, Arguments more = {})
        : space("stekd"), directory(space.path() / "instance") {
        Arguments arguments{STEK_STEKCTL,
                            "init",
                            "--dir",
                            directory,
                            "--location",
                            "test",
                            "--period",
                            std::to_string(period),
                            "--session-timeout",
                            std::to_string(session_timeout),
                            "--provider",
                            STEK_MODULE,
                            "--reader",
                            "nobody"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const auto made = run(arguments);
        if (made.exit_code != 0)
            throw std::runtime_error("stekctl init: " + made.output);
    }

    [[nodiscard]] std::string config() const { return directory / "stekd.toml"; }
    [[nodiscard]] std::string ring_file() const { return directory / "run" / "keyring"; }
    [[nodiscard]] std::string log() const { return read_file(directory / "stekd.log"); }

    [[nodiscard]] Outcome once() const { return run({STEK_STEKD, "--config", config(), "--once"}); }
    [[nodiscard]] Outcome check() const { return run({STEK_STEKD, "--config", config(), "--check"}); }
    [[nodiscard]] Outcome status(Arguments more = {}) const {
        Arguments arguments{STEK_STEKCTL, "status", "--config", config()};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return run(arguments);
    }

    void start(const Environment& environment = {}) {
        daemon.reset();
        std::filesystem::remove(directory / "stekd.log");  // what an earlier one said does not count
        daemon.emplace(Arguments{STEK_STEKD, "--config", config()}, environment, directory / "stekd.log");
    }
    [[nodiscard]] bool says(const std::string& text) const {
        return eventually([&] { return log().find(text) != std::string::npos; }, std::chrono::seconds(60));
    }

    /// As it is now; null if there is none. Throws RingError.
    [[nodiscard]] std::shared_ptr<const KeyRing> ring() const { return read_ring_file(ring_file()); }

    /// A line of stekd.toml changed.
    /// As who has --once run by a timer.
    void without_control() const { edit("control = \"" + (directory / "run/control").string() + "\"\n", ""); }
    void edit(const std::string& from, const std::string& to) const {
        auto text = read_file(config());
        const auto at = text.find(from);
        if (at == std::string::npos)
            throw std::runtime_error("no " + from + " in " + text);
        write_file(config(), text.replace(at, from.size(), to));
    }

    /// SoftHSM names a token's directory after its UUID, which ends in the serial. Empty: there is none.
    [[nodiscard]] std::filesystem::path token_directory(const std::string& serial) const {
        for (const auto& entry : std::filesystem::directory_iterator(directory / "tokens")) {
            auto name = entry.path().filename().string();
            std::erase(name, '-');
            if (name.ends_with(serial))
                return entry.path();
        }
        return {};
    }

    Workspace space;
    std::filesystem::path directory;
    std::optional<Process> daemon;
};

/// The key objects in a token's directory.
inline std::set<std::string> object_files(const std::filesystem::path& token) {
    std::set<std::string> files;
    for (const auto& file : std::filesystem::directory_iterator(token))
        if (file.path().extension() == ".object" && file.path().filename() != "token.object")
            files.insert(file.path().filename());
    return files;
}

}  // namespace stek::test
