#include "daemon/looks.hpp"

#include <stdexcept>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/vfs.h>

namespace stek::daemon {

std::string look_at_token(const std::shared_ptr<pkcs11::Module>& module, const pkcs11::TokenUri& uri,
                          std::span<const pkcs11::NeededMechanism> mechanisms,
                          const std::string& preferred_serial) {
    const auto token = pkcs11::Token::find(module, uri, preferred_serial);
    token->require(mechanisms);
    return token->label() + ", serial " + token->serial();
}

std::string look_at_directory(const std::string& directory) {
    struct stat status {};
    if (::stat(directory.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
        throw std::runtime_error("there is no directory " + directory);
    if (::access(directory.c_str(), W_OK | X_OK) != 0)
        throw std::runtime_error(directory + " cannot be written to");
    return directory;
}

bool is_on_tmpfs(const std::string& directory) {
    struct statfs where {};
    constexpr long tmpfs = 0x01021994;  // statfs(2)
    return ::statfs(directory.c_str(), &where) != 0 || where.f_type == tmpfs;
}

}  // namespace stek::daemon
