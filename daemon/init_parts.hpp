// What both kinds of `stekctl init` are made of.
#pragma once

#include "daemon/config.hpp"
#include "daemon/init.hpp"

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

/// softhsm2.conf, stekd.toml and openssl.cnf, 0644.
void write_configuration(const InitOptions& options);
std::string softhsm_conf(const std::string& tokens);

/// A token that grants more than its templates say is found out before anybody relies on it. Throws
/// TokenError naming what it does not refuse, pkcs11::Error, UriError.
void probe_ticket_token(const Config& config);

/// Removes again what was made, unless all went well.
class Undo {
  public:
    Undo() = default;
    Undo(const Undo&) = delete;
    Undo& operator=(const Undo&) = delete;
    ~Undo();
    void also(std::string path) { made_.push_back(std::move(path)); }
    void keep() { made_.clear(); }

  private:
    std::vector<std::string> made_;
};

}  // namespace stek::daemon
