// What both kinds of `stekctl init` are made of.
#pragma once

#include "daemon/config.hpp"
#include "daemon/init.hpp"
#include "provider/file.hpp"

#include <csignal>
#include <string>
#include <vector>

#include <sys/types.h>

namespace stek::daemon {

inline constexpr char vault_label[] = "stekd-vault";
inline constexpr char ticket_label[] = "stekd-ticket";

/// Throws ConfigError naming the option. All but the users, whom Readers looks up.
void check_options(const InitOptions& options);

/// Throws WouldOverwrite.
void refuse_existing(const std::string& path);
/// Both throw std::system_error.
void make_directory(const std::string& path, mode_t mode);
void write_text(const std::string& path, const std::string& text, mode_t mode);

/// Until an instance is whole, its configuration has this name: nobody takes half of one for a whole.
inline constexpr char unfinished_toml[] = "stekd.toml.unfinished";

/// softhsm2.conf, unfinished_toml and openssl.cnf, 0644.
void write_configuration(const InitOptions& options);
/// The last act of an init: unfinished_toml becomes stekd.toml.
void finish_configuration(const InitOptions& options);
/// If an init was killed in `configuration`: removes `parts`, which are what it makes, with what is in them,
/// and says so on stderr.
void clear_unfinished(const std::string& configuration, const std::vector<std::string>& parts);
std::string softhsm_conf(const std::string& tokens);

/// A token that grants more than its templates say is found out before anybody relies on it. Throws
/// TokenError naming what it does not refuse, pkcs11::Error, UriError.
void probe_ticket_token(const Config& config);

/// The directory that init is at work in, held by a file in it: a second init beside it would take it for one
/// that was killed. It outlives Undo.
class HeldDirectory {
  public:
    /// Throws AnotherStekd, std::system_error.
    explicit HeldDirectory(const std::string& directory);
    HeldDirectory(const HeldDirectory&) = delete;
    HeldDirectory& operator=(const HeldDirectory&) = delete;
    ~HeldDirectory();

  private:
    std::string file_;
    Fd lock_;
};

/// SIGINT, SIGTERM and SIGHUP end the process when this object's life is over: once what was made is removed
/// again, or whole. It must outlive the Undo. In a process of one thread.
class HeldSignals {
  public:
    HeldSignals();
    HeldSignals(const HeldSignals&) = delete;
    HeldSignals& operator=(const HeldSignals&) = delete;
    ~HeldSignals();
    /// Throws std::runtime_error if one has come: to be called between pieces of work.
    void check() const;

  private:
    sigset_t held_{}, before_{};
};

/// Removes again what was made, unless all went well.
class Undo {
  public:
    Undo() = default;
    Undo(const Undo&) = delete;
    Undo& operator=(const Undo&) = delete;
    ~Undo();
    void also(std::string path) { made_.push_back(std::move(path)); }
    /// Makes the directories above `path` that are missing. Throws std::system_error.
    void make_parents(const std::string& path);
    void keep() { made_.clear(); }

  private:
    std::vector<std::string> made_;
};

}  // namespace stek::daemon
