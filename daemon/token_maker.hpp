// New tokens with random PINs, by C_InitToken and C_InitPIN: softhsm2-util would take the PINs as arguments,
// for all to see in the process list.
#pragma once

#include "pkcs11/module.hpp"
#include "pkcs11/secret.hpp"

#include <memory>
#include <string>
#include <vector>

namespace stek::daemon {

struct SlotToken {
    CK_SLOT_ID slot;
    CK_TOKEN_INFO info;
    [[nodiscard]] bool is_blank() const noexcept { return (info.flags & CKF_TOKEN_INITIALIZED) == 0; }
};
/// Throws pkcs11::Error.
std::vector<SlotToken> tokens_of(CK_FUNCTION_LIST& functions);

class TokenMaker {
  public:
    /// Throws pkcs11::Error, UriError.
    TokenMaker(const std::string& module, const std::string& softhsm_conf);
    TokenMaker(const TokenMaker&) = delete;
    TokenMaker& operator=(const TokenMaker&) = delete;
    ~TokenMaker();

    /// The same for a token that was lost: `<directory>/ticket.pin` and `ticket.so-pin` are replaced. Throws
    /// TokenError too if there is a token of that label.
    std::string remake(const std::string& label, const std::string& directory);

    /// Makes a token in the first slot that has none yet; the PINs go to new files of mode 0600. Returns its
    /// serial. Throws pkcs11::Error, TokenError, std::system_error.
    std::string make(const std::string& label, const std::string& so_pin_file, const std::string& pin_file);

  private:
    void open();
    void close() noexcept;
    std::string module_path_, softhsm_conf_;
    std::shared_ptr<pkcs11::Module> module_;
};

}  // namespace stek::daemon
