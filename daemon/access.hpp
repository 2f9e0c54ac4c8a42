// Who may read what: POSIX ACLs for the users that TLS servers run as.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace stek::daemon {

/// The readers of the configuration, looked up once. Group membership is not enough for servers: HAProxy
/// drops its supplementary groups. All functions throw std::system_error naming the path.
class Readers {
  public:
    /// Throws ConfigError naming the user that does not exist.
    explicit Readers(const std::vector<std::string>& names);

    void allow_reading(int fd, const std::string& path) const;  ///< a file, 0640: readers r--
    void allow_entering(const std::string& directory) const;    ///< 0750: readers r-x
    /// 01770: readers make and change files of their own there, not each other's; this process's user reads
    /// them.
    void allow_writing(const std::string& directory) const;
    /// The directory of a SoftHSM token and every file in it. To be called after each object is made: SoftHSM
    /// creates files 0600, and that masks what a default ACL would give.
    void allow_token(const std::string& directory) const;

    [[nodiscard]] const std::vector<uid_t>& users() const noexcept { return users_; }

  private:
    void set(int fd, const std::string& path, mode_t mode, const char* reader_rights) const;
    void set_directory(const std::string& path, mode_t mode, const char* reader_rights) const;
    std::vector<uid_t> users_;
};

/// directories.tokendir of SoftHSM's configuration; empty if there is none.
std::string softhsm_tokens_directory(const std::string& softhsm_conf);

/// Where SoftHSM keeps the token with this serial: below its tokens' directory, the one whose name (a UUID)
/// ends in the serial, or, having been renamed, whose token.object holds it. Empty if there is none, or no
/// such configuration.
std::string softhsm_token_directory(const std::string& softhsm_conf, const std::string& serial);

}  // namespace stek::daemon
